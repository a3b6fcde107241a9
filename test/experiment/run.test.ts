import { isDeepStrictEqual } from 'node:util';
import type { ExecutionContext } from 'ava';
import { Program } from '../../src/driver/program.js';
import type { Moment, RunRecord, Verdict } from '../../src/experiment/record.js';
import { flagsOf } from '../../src/experiment/repeats.js';
import { type RunOptions, run } from '../../src/experiment/run.js';
import { SockDiag } from '../../src/observer/sock-diag.js';
import { TracepointObserver } from '../../src/observer/tracepoint.js';
import { formatJson } from '../../src/report/json.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import { finWait2Expiry } from '../../src/scenario/fin-wait2-expiry.js';
import { driversOf, type Stage } from '../../src/scenario/scenario.js';
import * as sys from '../../src/syscall/sys.js';
import { World } from '../../src/world/world.js';
import { CLI } from '../cli/closewait.js';
import { test } from '../fixture/descriptors.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from '../world/ability.js';
import { altered, observed } from './observed.js';

const inNamespace = (title: string, act: (t: ExecutionContext) => Promise<void>): void =>
  testUnless(noNamespace, title, act);
const DEADLINE_MS = 10_000;
const NAMESPACE = { world: 'namespace' } as const;

for (const [option, expected] of [
  [{ driver: 'tcl' }, 'driver must be raw or libuv or program, received "tcl"'],
  [{ driver: 'toString' }, 'driver must be raw or libuv or program, received "toString"'],
  [{ world: 'nowhere' }, 'world must be namespace or host, received "nowhere"'],
  [{ family: 5 }, 'family must be 4 or 6, received 5'],
  [{ timeoutMs: Number.POSITIVE_INFINITY }, /^timeoutMs must be .* received Infinity$/],
  [{ timeoutMs: -1 }, /^timeoutMs must be .* received -1$/],
] as const) {
  test(`refused as an option of a run: ${Object.entries(option)}`, async (t) => {
    const options = { ...NAMESPACE, ...option } as unknown as RunOptions;
    await t.throwsAsync(run(closeWait, options), { message: expected });
  });
}

/** On the host a capture has to keep up with everybody's packets, and may be unable to. */
const standsOnHost = ({ verdict, reason = '' }: RunRecord): boolean =>
  verdict === 'reproduced' || (verdict === 'inconclusive' && reason.endsWith('(capture)'));

for (const driver of driversOf(closeWait)) {
  inNamespace(`close-wait, ${driver}: the record is the one the contract names`, async (t) => {
    const { record, frames } = await observed(closeWait, driver);
    t.is(record.reason, undefined);
    t.like(record, {
      scenario: 'close-wait',
      driver,
      ok: true,
      verdict: 'reproduced',
      world: { kind: 'namespace' },
    });
    t.regex(record.kernel, /^\d+\.\d+/);
    for (const end of ['client', 'server'] as const) {
      t.true(record.ends[end].path.length > 0);
      t.true(record.ends[end].path.every((state) => closeWait.path[end]?.includes(state as never)));
    }
    for (const check of record.checks) {
      t.deepEqual(Object.keys(check), ['what', 'expected', 'observed', 'source', 'ok']);
      t.true(check.ok, check.what);
    }
    t.deepEqual(
      record.observers.map(({ name, available }) => [name, available]),
      [
        ['TCP_INFO', true],
        ['sock_diag', true],
        ['polling', true],
        ['capture', true],
        ['tracepoint', TracepointObserver.availability().available],
        ['process', true],
      ],
    );
    const times = record.events.map(({ tNs }) => tNs);
    t.true(times.every((tNs) => Number.isFinite(tNs) && tNs >= 0));
    t.deepEqual(
      times,
      [...times].sort((a, b) => a - b),
    );
    const { segments = [] } = closeWait;
    t.deepEqual(flagsOf(frames, segments), segments);
  });

  inNamespace(`close-wait, ${driver}: TCP_INFO on the descriptors says the states`, async (t) => {
    const { record } = await observed(closeWait, driver);
    const said = record.moments.map(({ name, tcpInfo }) => [name, tcpInfo]);
    t.deepEqual(said, [
      ['connected', { client: 'ESTABLISHED', server: 'ESTABLISHED' }],
      ['exchanged', { client: 'ESTABLISHED', server: 'ESTABLISHED' }],
      ['close-wait', { server: 'CLOSE_WAIT' }],
      ['cured', {}],
    ]);
    const asserted = record.checks.filter(({ source }) => source === 'TCP_INFO');
    t.deepEqual(
      asserted.map(({ observed }) => observed),
      ['ESTABLISHED', 'ESTABLISHED', 'CLOSE_WAIT'],
    );
  });

  inNamespace(`close-wait, ${driver}: the article's table, the orphan and the cause`, async (t) => {
    const { record } = await observed(closeWait, driver);
    const moment = record.moments.find(({ name }) => name === 'close-wait');
    const sockets = moment?.sockets.map(({ end, state, recvQ, owner }) => ({
      ...{ end, state, recvQ },
      owned: owner !== undefined,
    }));
    t.deepEqual(sockets, [
      { end: 'listener', state: 'LISTEN', recvQ: 0, owned: true },
      { end: 'client', state: 'FIN_WAIT2', recvQ: 0, owned: false },
      { end: 'server', state: 'CLOSE_WAIT', recvQ: 0, owned: true },
    ]);
    t.is(moment?.diagnoses.length, 1);
    t.like(moment?.diagnoses[0], { end: 'server', cause: 'not-closed' });
    if (driver === 'program') {
      const [diagnosis] = moment?.diagnoses ?? [];
      t.is(diagnosis?.thread?.syscall?.name, 'clock_nanosleep');
      t.regex(diagnosis?.missing?.text ?? '', /close\(client\)/);
      const { server, client } = record.transcripts;
      t.is(server, 'Connected client 1 \n');
      t.regex(client ?? '', /test\nMessage from server: test\n.*: Q\n$/s);
    }
  });
}

for (const driver of driversOf(closeWait)) {
  inNamespace(`${driver}: the cause removed, a server that closes: not reproduced`, async (t) => {
    const cured = altered({
      async run({ server, client, reach, moment }) {
        await client.connect(await server.listen());
        await server.accept();
        await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
        await client.send('test\n');
        await server.echo();
        await client.receive();
        await client.close();
        await server.readEnd();
        await server.close();
        await reach({ client: 'TIME_WAIT', server: 'CLOSE' });
        await moment('close-wait');
      },
    });
    const { record } = await observed(cured, driver);
    t.false(record.ok);
    t.is(record.verdict, 'not-reproduced');
    t.regex(record.reason ?? '', /close-wait.*expected.*observed/);
    const failed = record.checks.filter(({ ok }) => !ok).map(({ what }) => what);
    t.true(failed.includes('cause of the server at "close-wait"'), failed.join('; '));
  });
}

inNamespace(
  "the article's programs with --close: both end, nothing is in CLOSE_WAIT",
  async (t) => {
    await using world = await World.open('namespace');
    const start = (name: string, ...args: string[]) =>
      Program.start(world, { name, path: process.execPath, argv: [name, CLI, name, ...args] });
    await using server = await start('server', '0', '--close');
    const listening = /Listening on \S+:(\d+)\n/;
    await server.until('its port', () => listening.test(server.printed('error')), DEADLINE_MS);
    const port = listening.exec(server.printed('error'))?.[1] ?? '';
    await using client = await start('client', '127.0.0.1', port);
    client.type('test\nQ\n');
    for (const { exited } of [client, server])
      t.like(await exited, { code: sys.CLD_EXITED, status: 0 });
    const actor = await world.actor('sock_diag');
    using diag = new SockDiag(await actor.socket(...SockDiag.socket));
    const left = () => [...diag.snapshot()].map(({ state }) => state);
    // The last ACK may come after the end of who sent the FIN; and one that was delayed until then ends TIME_WAIT (LIMITATIONS.md).
    await until(
      () => left().every((state) => state === 'TIME_WAIT'),
      () => left().join(),
    );
    t.true(left().length <= 1);
  },
);

inNamespace('a state that does not come: the report has the path that was seen', async (t) => {
  const waits = altered({
    async run({ server, client, reach }) {
      await client.connect(await server.listen());
      await server.accept();
      await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
      await client.close();
      await server.close();
      await reach({ server: 'CLOSE_WAIT' });
    },
  });
  const { record } = await observed(waits, 'raw');
  t.is(record.verdict, 'not-reproduced');
  t.regex(
    record.reason ?? '',
    /^expected server in CLOSE_WAIT within 10 s; .*polling saw ESTABLISHED.* > CLOSE \(heard of/,
  );
});

for (const driver of driversOf(closeWait)) {
  for (const [when, upTo] of [
    ['before anything', 0],
    ['when connected', 1],
    ['in CLOSE_WAIT', 2],
  ] as const) {
    inNamespace(`${driver}: a story that throws ${when} leaves nothing behind`, async (t) => {
      const throwing = altered({
        async run({ server, client, reach }) {
          if (upTo > 0) {
            await client.connect(await server.listen());
            await server.accept();
          }
          if (upTo > 1) {
            await client.close();
            await server.readEnd();
            await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
          }
          throw new Error('the story breaks off here');
        },
      });
      const { record } = await observed(throwing, driver);
      t.is(record.verdict, 'not-reproduced');
      t.is(record.reason, 'the story breaks off here');
    });
  }

  inNamespace(
    `${driver}: a run that was interrupted is no result, however far it came`,
    async (t) => {
      const interrupted = new AbortController();
      const story = altered({ run: async () => interrupted.abort() });
      const running = run(story, { ...NAMESPACE, driver, signal: interrupted.signal });
      await t.throwsAsync(running, { any: true, instanceOf: DOMException, name: 'AbortError' });
    },
  );

  inNamespace(`${driver}: an interrupted run rejects and leaves nothing behind`, async (t) => {
    const interrupted = new AbortController();
    const story = altered({
      async run({ server, client, reach }: Stage) {
        await client.connect(await server.listen());
        interrupted.abort();
        await reach({ server: 'CLOSE_WAIT' });
      },
    });
    const running = run(story, { ...NAMESPACE, driver, signal: interrupted.signal });
    await t.throwsAsync(running, { any: true, instanceOf: DOMException, name: 'AbortError' });
  });
}

// What the other end's kernel answered is evidence, and that a program was ended is none.
const victims: { end: 'server' | 'client'; when: string; verdict?: Verdict; says: RegExp }[] = [
  {
    end: 'server',
    when: 'before the client comes',
    says: /^client \(pid \d+\): waited for its prompt: it ended first.*ECONNREFUSED/,
  },
  {
    end: 'server',
    when: 'when connected',
    says: /^client \(pid \d+\): waited for "Message .*it ended first.*(closed the connection|ECONNRESET)/,
  },
  {
    end: 'client',
    when: 'when connected',
    verdict: 'inconclusive',
    says: /^client \(pid \d+\): .*: it ended first, with signal 9/,
  },
  {
    end: 'server',
    when: 'before it accepts',
    verdict: 'inconclusive',
    says: /^server \(pid \d+\): waited for a client: it ended first, with signal 9/,
  },
  {
    end: 'server',
    when: 'in CLOSE_WAIT',
    says: /^Recv-Q of the server at "close-wait": expected 0, observed "undefined"/,
  },
];

for (const { end, when, verdict = 'not-reproduced', says } of victims) {
  inNamespace(`the ${end} program is killed ${when}: a clear report`, async (t) => {
    const killed = altered({
      async run({ server, client, reach, moment }) {
        const kill = (now: string) => {
          const { pid } = end === 'server' ? server : client;
          if (now === when && pid !== undefined) process.kill(pid, 'SIGKILL');
        };
        const to = await server.listen();
        kill('before the client comes');
        kill('before it accepts');
        if (when === 'before it accepts') await server.accept();
        await client.connect(to);
        await server.accept();
        await reach({ client: 'ESTABLISHED', server: 'ESTABLISHED' });
        kill('when connected');
        await client.send('test\n');
        await server.echo();
        await client.receive();
        await client.close();
        await reach({ client: 'FIN_WAIT2', server: 'CLOSE_WAIT' });
        kill('in CLOSE_WAIT');
        if (when === 'in CLOSE_WAIT') await reach({ server: 'CLOSE' });
        await moment('close-wait');
      },
    });
    const { record } = await observed(killed, 'program');
    t.is(record.verdict, verdict, record.reason);
    t.regex(record.reason ?? '', says);
  });
}

inNamespace('the story waits at each moment for who looks on', async (t) => {
  const seen: string[] = [];
  let looking = false;
  const story = altered({
    async run({ moment, ...stage }) {
      const watched = async (name: string) => {
        await moment(name);
        t.false(looking);
      };
      await closeWait.run({ ...stage, moment: watched });
    },
  });
  const onMoment = async ({ name, sockets }: Moment): Promise<void> => {
    looking = true;
    await new Promise((resolve) => setImmediate(resolve));
    seen.push(`${name}: ${sockets.map(({ state }) => state).join(' ')}`);
    looking = false;
  };
  const { record } = await run(story, { ...NAMESPACE, driver: 'raw', onMoment });
  t.is(record.verdict, 'reproduced', record.reason);
  t.deepEqual(seen, [
    'connected: LISTEN ESTABLISHED ESTABLISHED',
    'exchanged: LISTEN ESTABLISHED ESTABLISHED',
    'close-wait: LISTEN FIN_WAIT2 CLOSE_WAIT',
    'cured: LISTEN TIME_WAIT',
  ]);
});

inNamespace('the stage holds what a story expects against what it saw', async (t) => {
  const { record } = await observed(
    altered({
      path: { client: [], server: [] },
      segments: [],
      expected: {},
      async run({ expect }) {
        expect('an answer', 42, 42);
        expect('another', { a: 1 }, { a: 2 });
        expect('nothing', undefined, null);
      },
    }),
    'raw',
  );
  t.is(record.verdict, 'not-reproduced');
  t.deepEqual(
    record.checks.filter(({ source }) => source === 'scenario').map(({ ok }) => ok),
    [true, false, false],
  );
  t.is(record.reason, 'another: expected {"a":1}, observed {"a":2} (scenario)');
  const { checks } = JSON.parse(formatJson(record)) as RunRecord;
  for (const check of checks) {
    t.deepEqual(Object.keys(check), ['what', 'expected', 'observed', 'source', 'ok']);
  }
});

inNamespace('segments that were not foreseen are a failed expectation', async (t) => {
  const { record } = await observed(altered({ segments: ['S', 'S.', '.'] }), 'raw');
  t.is(record.verdict, 'not-reproduced');
  const [failed, ...more] = record.checks.filter(({ ok }) => !ok);
  t.deepEqual(more, []);
  t.like(failed, { what: 'segments of the connection', source: 'capture' });
});

inNamespace('a driver that cannot act it: skipped, with the reason', async (t) => {
  const { record, frames } = await run(finWait2Expiry, { ...NAMESPACE, driver: 'program' });
  t.like(record, { ok: true, verdict: 'skipped', driver: 'program' });
  t.regex(record.reason ?? '', /driver program cannot express a write of its own/);
  t.deepEqual([record.checks, record.events, record.moments, frames], [[], [], [], []]);
  t.deepEqual(record.ends, { client: { path: [] }, server: { path: [] } });
});

test('a setting cannot be made on the host: skipped, with the reason', async (t) => {
  const { record } = await run(finWait2Expiry, { world: 'host' });
  t.like(record, { ok: true, verdict: 'skipped', world: { kind: 'host' } });
  t.regex(record.reason ?? '', /needs a network namespace/);
});

test("on the host's own loopback, in company", async (t) => {
  const runs = await Promise.all([1, 2, 3].map(() => run(closeWait, { world: 'host' })));
  for (const { record } of runs) t.true(standsOnHost(record), record.reason);
});

inNamespace('runs at the same time do not see each other', async (t) => {
  const runs = await Promise.all(
    [closeWait, finWait2Expiry, closeWait].map((each) =>
      run(each, { ...NAMESPACE, driver: 'raw' }),
    ),
  );
  for (const { record } of runs) t.is(record.verdict, 'reproduced', record.reason);
  t.false(isDeepStrictEqual(runs[0]?.frames, runs[2]?.frames));
});
