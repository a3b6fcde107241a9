/** The forms a run is told in: a capture for other tools, and `--format`. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import ava from 'ava';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import { scratch } from '../driver/programs.js';
import { noTool, noWorld } from '../world/ability.js';
import { CLI, closewait, finished } from './closewait.js';

const test = ava.serial;
const runs = noWorld === undefined ? test : test.skip;
const why = noWorld === undefined ? '' : ` (${noWorld})`;

for (const [tool, ...args] of [
  ['tcpdump', '-nr'],
  ['capinfos', '-c'],
] as const) {
  const reason = noWorld ?? noTool(tool);
  (reason === undefined ? test : test.skip)(
    `--pcap: ${tool} reads what was captured${reason === undefined ? '' : ` (${reason})`}`,
    (t) => {
      const file = join(scratch(t), 'run.pcapng');
      const { code, stdout, stderr } = closewait(
        ...['run', 'close-wait', '--driver', 'raw', '--json', '--pcap', file],
      );
      t.is(code, 0, stderr);
      t.regex(stderr, /^closewait: 11 packets in \S+run\.pcapng\n$/);
      t.is(JSON.parse(stdout).verdict, 'reproduced');
      const read = finished([tool, ...args, file]);
      t.is(read.code, 0);
      if (tool === 'capinfos') t.regex(read.stdout, /Number of packets: +11\n/);
      else {
        const flags = [...read.stdout.matchAll(/Flags \[(.*?)\]/g)].map((match) => match[1]);
        t.deepEqual(flags, ['S', 'S.', '.', 'P.', '.', 'P.', '.', 'F.', '.', 'F.', '.']);
      }
    },
  );
}

const noTshark = noWorld ?? noTool('tshark');
(noTshark === undefined ? test : test.skip)(
  `--pcap: tshark decodes each packet and shows beside it what it did${noTshark === undefined ? '' : ` (${noTshark})`}`,
  (t) => {
    const file = join(scratch(t), 'run.pcapng');
    t.is(closewait('run', 'close-wait', '--driver', 'raw', '--pcap', file).code, 0);
    const fields = ['frame.comment', 'tcp.flags.str', '_ws.expert.message', '_ws.malformed'];
    const named = fields.flatMap((field) => ['-e', field]);
    const { stdout } = finished(['tshark', '-r', file, '-T', 'fields', '-E', 'header=n', ...named]);
    const rows = stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split('\t'));
    t.is(rows.length, 11);
    for (const [comment = '', flags = '', expert = '', malformed = ''] of rows) {
      t.regex(comment, /^(?:client|server) \[?[A-Z_0-9]{4,}/);
      t.not(flags, '');
      t.notRegex(expert, /malformed|bogus|incorrect/i);
      t.is(malformed, '');
    }
    t.regex(
      rows[7]?.[0] ?? '',
      /client ESTABLISHED -> FIN_WAIT1.*server ESTABLISHED -> CLOSE_WAIT/,
    );
  },
);

(noTshark === undefined ? test : test.skip)(
  `--pcap: between two hosts, each segment is of the end it came to, IPv6 as well${noTshark === undefined ? '' : ` (${noTshark})`}`,
  (t) => {
    const file = join(scratch(t), 'run.pcapng');
    const { code, stderr } = closewait('run', 'fin-wait1', '--family', '6', '--pcap', file);
    t.is(code, 0, stderr);
    const fields = ['frame.interface_name', 'tcp.flags', 'ipv6.src'];
    const named = fields.flatMap((field) => ['-e', field]);
    const { stdout } = finished(['tshark', '-r', file, '-T', 'fields', ...named]);
    const [syn, answer] = stdout.split('\n').map((line) => line.split('\t'));
    t.deepEqual([syn?.[0], Number(syn?.[1])], ['eth0 of the server', 0x02]);
    t.deepEqual([answer?.[0], Number(answer?.[1])], ['eth0 of the client', 0x12]);
    t.regex(syn?.[2] ?? '', /:/);
    t.is(finished(['tshark', '-r', file, '-Y', '_ws.malformed or not tcp']).stdout, '');
  },
);

runs(`--pcap where there is no room: said, exit 3, and nothing is left there${why}`, (t) => {
  const file = join(scratch(t), 'run.pcapng');
  // Node ignores SIGXFSZ: the write fails as it does on a full disk, after a first piece.
  const command = `ulimit -f 1; exec ${process.execPath} ${CLI} run normal --pcap ${file}`;
  const { code, stderr } = finished(['bash', '-c', command]);
  t.is(code, 3);
  t.regex(stderr, /^closewait: \S+ is not written: EFBIG: /m);
  t.false(existsSync(file));
});

// Without transitions a state stands where somebody found it, which may be a line below the segment.
const { available } = TracepointObserver.availability();
for (const [format, says] of [
  [
    'ladder',
    available ? /FIN_WAIT1 +\| -- F\. .*> *\| CLOSE_WAIT/ : /\| -- F\. .*> *\|[\s\S]*CLOSE_WAIT/,
  ],
  ['transitions', /server +ESTABLISHED +-> CLOSE_WAIT +F\. from client/],
  ['story', /== close-wait/],
] as const) {
  runs(`--format ${format}${why}`, (t) => {
    const args = ['run', 'close-wait', '--driver', 'raw', '--format', format];
    const { code, stdout, stderr } = closewait(...args);
    t.is(code, 0, stderr);
    t.regex(stdout, says);
    const width = { ladder: 80, transitions: 120, story: Number.POSITIVE_INFINITY }[format];
    t.true(stdout.split('\n').every((line) => line.length <= width));
  });
}

runs(`--format ndjson: an event a line, in order, numbered${why}`, (t) => {
  const { code, stdout } = closewait('run', 'close-wait', '--driver', 'raw', '--format', 'ndjson');
  t.is(code, 0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.deepEqual(
    events.map(({ id }) => id),
    events.map((_, i) => i),
  );
  for (const { tNs, source, kind } of events) {
    t.deepEqual([typeof tNs, typeof source, typeof kind], ['number', 'string', 'string']);
  }
});
