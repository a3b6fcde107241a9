import test from 'ava';
import type { Sighting } from '../../src/experiment/event.js';
import { Timeline } from '../../src/experiment/timeline.js';
import { formatTransitions } from '../../src/report/transitions.js';
import {
  life,
  lifeCalls,
  lifeTransitions,
  sample,
  server,
  transition,
} from '../fixture/sightings.js';

/** Transitions from a tracepoint, samples from polling, packets from a capture. */
function transitionsOf(sightings: readonly Sighting[], samples: readonly Sighting[] = []): string {
  using timeline = new Timeline({ originNs: 0n });
  timeline.serverListens(server);
  timeline.threadActs(1, 'client');
  timeline.threadActs(2, 'server');
  const feed = timeline.open({ name: 'tracepoint', latenessNs: 0, states: 'transitions' });
  const looks = timeline.open({ name: 'polling', latenessNs: 0, states: 'samples' });
  for (const sighting of sightings) feed.push(sighting);
  for (const each of samples) looks.push(each);
  timeline.close();
  return formatTransitions(timeline.events);
}

for (const { name, sightings, samples, expected } of [
  { name: 'nothing', sightings: [], expected: '' },
  {
    name: 'every transition, what did it and who saw it',
    sightings: [...lifeCalls, ...lifeTransitions, ...life],
    samples: [sample(43_020, 'client', 'FIN_WAIT2', 1500), sample(50_020, 'client', 'TIME_WAIT')],
    expected: `\
 0.099000 ms client CLOSE       -> SYN_SENT    S sent, connect() by client         tracepoint
 0.111000 ms client SYN_SENT    -> ESTABLISHED S. from server, connect() by client tracepoint
 0.121000 ms server LISTEN      -> SYN_RECV    S. sent, connect() by client        tracepoint
 0.122000 ms server SYN_RECV    -> ESTABLISHED . from client, connect() by client  tracepoint
 2.999000 ms client ESTABLISHED -> FIN_WAIT1   F. sent, close() by client          tracepoint
 3.001000 ms server ESTABLISHED -> CLOSE_WAIT  F. from client, close() by client   tracepoint
43.001000 ms client FIN_WAIT1   -> FIN_WAIT2   . from server                       tracepoint
43.008000 ms client FIN_WAIT2   -> CLOSE       a mini-socket may go on             tracepoint
43.020000 ms client ?           -> FIN_WAIT2   . from server                       polling (up to 1.50 ms late)
49.999000 ms server CLOSE_WAIT  -> LAST_ACK    F. sent, close() by server          tracepoint
50.011000 ms server LAST_ACK    -> CLOSE       . from client, close() by server    tracepoint
50.020000 ms client FIN_WAIT2   -> TIME_WAIT   F. from server                      polling (up to 0.01 ms late)
`,
  },
  {
    name: 'one that neither a segment nor a call explains',
    sightings: [transition(5, 'server', 'LAST_ACK', 'CLOSE')],
    expected: '0.005000 ms server LAST_ACK -> CLOSE - tracepoint\n',
  },
  {
    name: 'the listener, whose call is on a thread of nobody',
    sightings: [
      { kind: 'enter', tNs: 1n, tid: 9, syscall: 'listen', args: [4n, 5n] },
      {
        ...transition(5, 'server', 'CLOSE', 'LISTEN', { tid: 9 }),
        remote: { address: '0.0.0.0', port: 0 },
      } as Sighting,
    ],
    expected: '0.005000 ms listener CLOSE -> LISTEN listen() by thread 9 tracepoint\n',
  },
  {
    name: 'a sample that is no change is none',
    sightings: [],
    samples: [sample(5, 'client', 'FIN_WAIT2', 5), sample(6, 'client', 'FIN_WAIT2', 1)],
    expected: '0.005000 ms client ? -> FIN_WAIT2 - polling\n',
  },
] as { name: string; sightings: Sighting[]; samples?: Sighting[]; expected: string }[]) {
  test(name, (t) => {
    t.is(transitionsOf(sightings, samples), expected);
  });
}

test('a state is never put down to a segment that passed later', (t) => {
  const text = transitionsOf(life, [sample(1000, 'client', 'FIN_WAIT2', 5)]);
  t.is(text, '1.000000 ms client ? -> FIN_WAIT2 - polling\n');
});
