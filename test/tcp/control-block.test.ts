import test from 'ava';
import { ControlBlock, distance, plus, type SegmentBody } from '../../src/tcp/control-block.js';
import type { Segment, TcpOption } from '../../src/tcp/segment.js';

const kinds = (options: readonly TcpOption[]) => options.map(({ kind }) => kind);

/** A segment as its receiver has it. */
const arrived = (body: SegmentBody): Segment => ({
  ...body,
  version: 4,
  source: { address: '192.0.2.1', port: 1 },
  destination: { address: '192.0.2.2', port: 2 },
  badOptions: false,
  payloadLength: body.payload.length,
});

/** Two ends that hear each other: what one sends, the other has. */
function pair(clientIss = 1000, serverIss = 5000) {
  const blocks = {
    client: new ControlBlock({ iss: clientIss }),
    server: new ControlBlock({ iss: serverIss }),
  };
  const say = (
    from: 'client' | 'server',
    flags: string,
    spec: Parameters<ControlBlock['fill']>[1] = {},
  ): SegmentBody => {
    const body = blocks[from].fill(flags, spec);
    blocks[from].countSent(body);
    blocks[from === 'client' ? 'server' : 'client'].countReceived(arrived(body));
    return body;
  };
  return { ...blocks, say };
}

function connected(clientIss?: number, serverIss?: number) {
  const ends = pair(clientIss, serverIss);
  ends.say('client', 'S');
  ends.say('server', 'S.');
  ends.say('client', '.');
  return ends;
}

for (const [clientIss, serverIss] of [
  [1000, 5000],
  [0xffff_ffff, 0xffff_fffd],
] as const) {
  test(`a whole conversation from ${clientIss} and ${serverIss}`, (t) => {
    const { say } = pair(clientIss, serverIss);
    const told = [
      say('client', 'S'),
      say('server', 'S.'),
      say('client', '.'),
      say('client', 'P.', { data: 'hello' }),
      say('server', 'P.', { data: 'oh' }),
      say('client', 'F.'),
      say('server', 'F.'),
      say('client', '.'),
    ].map(({ flags, sequence, acknowledgment }, i) => {
      const [ours, theirs] = [1, 4, 6].includes(i)
        ? [serverIss, clientIss]
        : [clientIss, serverIss];
      return [
        flags,
        distance(ours, sequence),
        i === 0 ? acknowledgment : distance(theirs, acknowledgment),
      ];
    });
    t.deepEqual(told, [
      ['S', 0, 0],
      ['S.', 0, 1],
      ['.', 1, 1],
      ['P.', 1, 1],
      ['P.', 1, 6],
      ['F.', 6, 3],
      ['F.', 3, 7],
      ['.', 7, 4],
    ]);
  });
}

test('a SYN offers all, an answer what was offered', (t) => {
  const { say } = pair();
  const all = ['mss', 'sackOK', 'timestamps', 'nop', 'wscale'];
  t.deepEqual(kinds(say('client', 'S').options), all);
  t.deepEqual(kinds(say('server', 'S.').options), all);
  const bare = pair();
  bare.say('client', 'S', { options: [{ kind: 'sackOK' }] });
  t.deepEqual(kinds(bare.say('server', 'S.').options), ['mss', 'sackOK']);
});

test('timestamps are sent where both have offered them, and echo the last', (t) => {
  const { say } = connected();
  const data = say('client', 'P.', { data: 'x' });
  const answer = say('server', '.');
  t.deepEqual(kinds(answer.options), ['nop', 'nop', 'timestamps']);
  const [sent, echoed] = [data, answer].map(({ options }) => options.at(-1)) as [
    TcpOption & { kind: 'timestamps' },
    TcpOption & { kind: 'timestamps' },
  ];
  t.is(echoed.echoReply, sent.value);
  t.deepEqual(say('client', 'R').options, []);

  const bare = pair();
  bare.say('client', 'S', { options: [] });
  bare.say('server', 'S.');
  t.deepEqual(bare.say('client', '.').options, []);
});

test('timestamps grow from segment to segment, and can be put off', (t) => {
  const { client } = connected();
  const value = (ts?: number) => {
    const option = client.fill('.', ts === undefined ? {} : { ts }).options.at(-1);
    return option?.kind === 'timestamps' ? option.value : undefined;
  };
  const first = value() ?? 0;
  t.is(value(), first + 1);
  t.is(value(-100), first + 2 - 100);
  t.is(value(), first + 3);
});

test('a hole moves nothing, until it is filled and acknowledged', (t) => {
  const { client, say } = connected();
  t.is(say('client', 'F.', { seq: +5 }).sequence, 1006);
  t.is(client.next, 1001);
  say('client', 'P.', { data: 'hello' });
  t.is(client.next, 1006);
  say('server', '.', { ack: +1 });
  t.is(client.next, 1007);
});

test('what overlaps counts from where it is new', (t) => {
  const { client, say } = connected();
  say('client', 'P.', { data: 'hello' });
  say('client', 'P.', { seq: -5, data: 'hello, you' });
  t.is(client.next, 1011);
  say('client', 'P.', { seq: -10, data: 'hello' });
  t.is(client.next, 1011);
});

test('an acknowledgment of what was never sent is not believed', (t) => {
  const { client, say } = connected();
  say('server', '.', { ack: +1000 });
  t.is(client.next, 1001);
});

test('a SYN that leaves a hole starts a numbering once it is accepted', (t) => {
  const { client, say } = connected();
  say('client', 'S', { seq: +1000 });
  t.deepEqual([client.first, client.next, client.syn.sequence], [1000, 1001, 2001]);
  say('server', '.', { ack: -1001 });
  t.deepEqual([client.first, client.next], [1000, 1001]);
  say('server', 'S.', { seq: +100_000, ack: 0 });
  t.deepEqual([client.first, client.next, client.syn.next], [2001, 2002, 2002]);
  t.is(client.peerNext, 105_002);
});

test('resets take up nothing', (t) => {
  const { client, server, say } = connected();
  say('client', 'R.', { data: 'why' });
  t.is(client.next, 1001);
  t.is(server.peerNext, 1001);
});

test('a repetition is told from news', (t) => {
  const { client, server } = pair();
  const news = (flags: string, spec = {}): boolean => {
    const body = client.fill(flags, spec);
    const told = !server.isRepeat(arrived(body));
    client.countSent(body);
    server.countReceived(arrived(body));
    return told;
  };
  t.true(news('S'));
  t.false(news('S', { seq: -1 }));
  // The SYN of a simultaneous open comes a second time with an ACK.
  t.true(news('S.', { seq: -1 }));
  t.false(news('S.', { seq: -1 }));
  t.true(news('P.', { data: 'hello' }));
  t.false(news('P.', { data: 'hello', seq: -5 }));
  t.true(news('FP.', { data: 'hello', seq: -5 }));
  t.false(news('F.', { seq: -1 }));
  // Without numbers of its own, a segment cannot be told from another.
  t.true(news('.'));
  t.true(news('.'));
  t.true(news('R'));
});

test('numbers that are none are refused', (t) => {
  for (const iss of [-1, 2 ** 32, 0.5, Number.NaN]) {
    t.throws(() => new ControlBlock({ iss }), { instanceOf: RangeError }, `${iss}`);
  }
  const block = new ControlBlock();
  for (const spec of [{ seq: 0.5 }, { ack: Number.NaN }, { ts: Infinity }]) {
    t.throws(() => block.fill('.', spec), { instanceOf: RangeError }, JSON.stringify(spec));
  }
});

test('arithmetic is modulo 2^32', (t) => {
  t.is(plus(0xffff_ffff, 2), 1);
  t.is(plus(0, -1), 0xffff_ffff);
  t.is(distance(0xffff_ffff, 1), 2);
  t.is(distance(1, 0xffff_ffff), -2);
});
