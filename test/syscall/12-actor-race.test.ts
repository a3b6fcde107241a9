// Aborts that come at the very moment of what they would prevent.
import * as sys from '../../src/syscall/sys.js';
import { actorOf } from '../fixture/actors.js';
import { descriptors, ownedBy, test } from '../fixture/descriptors.js';
import { awaitEvents, connected, ipv4, listening } from '../fixture/sockets.js';

/** Busy for so many nanoseconds: long enough to matter, too short to sleep. */
function spin(ns: number): void {
  const end = process.hrtime.bigint() + BigInt(Math.round(ns));
  while (process.hrtime.bigint() < end);
}

const TURNS = 2000;
/** The last waits 8 ms: a thread has been given the only processor by then. */
const DISTANCES = 24;

/**
 * Has an abort race an event. It comes the later each time that it has won, the sooner each time that it has lost, down to
 * before the event: so each wins often, however fast the machine is and however many processors it has.
 */
async function race(
  turn: (i: number, signal: AbortSignal, meet: (event: () => void) => void) => Promise<boolean>,
): Promise<{ won: number; lost: number }> {
  let distance = DISTANCES / 2;
  let won = 0;
  for (let i = 0; i < TURNS; i++) {
    const controller = new AbortController();
    const wins = await turn(i, controller.signal, (event) => {
      if (distance === 0) controller.abort();
      event();
      spin(500 * 1.5 ** distance);
      controller.abort();
    });
    if (wins) won++;
    distance = wins ? Math.min(distance + 1, DISTANCES) : Math.max(distance - 1, 0);
  }
  return { won, lost: TURNS - won };
}

/** Whether a call was ended by its signal. */
const isAborted = (error: Error): true => {
  if (error.name !== 'AbortError') throw error;
  return true;
};

test(`an abort that races a connection never loses it: ${TURNS} times`, async (t) => {
  const actor = await actorOf(t);
  const owned = ownedBy(t);
  const { fd: listener, ...address } = listening(owned, ipv4, 16);
  const before = descriptors().length;
  const { won, lost } = await race(async (i, signal, meet) => {
    const accepting = actor.accept(listener, { signal }).then(({ fd }) => fd, isAborted);
    using turn = new sys.Descriptors();
    const client = turn.own(sys.socket(sys.AF_INET, sys.SOCK_STREAM));
    // A RST at the end, so that as many TIME_WAITs do not stay behind.
    sys.setOption(client, 'SO_LINGER', { on: true, seconds: 0 });
    meet(() => sys.connect(client, address));
    const accepted = await accepting;
    if (accepted === true) {
      // Then it must still be in the queue, or be on its way into it.
      t.is(awaitEvents(listener, sys.POLLIN), sys.POLLIN, `connection ${i} was lost`);
    }
    turn.own(accepted === true ? sys.accept(listener).fd : accepted);
    return accepted === true;
  });
  t.true(won > 0 && lost > 0, `${lost} accepted, ${won} aborted: no race`);
  t.is(descriptors().length, before);
  t.log(`${lost} accepted, ${won} aborted`);
});

test(`an abort that races a byte never loses it: ${TURNS} times`, async (t) => {
  const actor = await actorOf(t);
  const { client, server } = connected(ownedBy(t));
  const buffer = new Uint8Array(1);
  const { won, lost } = await race(async (i, signal, meet) => {
    const reading = actor.read(server, buffer, { signal }).then(() => false, isAborted);
    meet(() => sys.write(client, Uint8Array.of(i & 255)));
    const aborted = await reading;
    if (aborted) {
      t.is(awaitEvents(server, sys.POLLIN), sys.POLLIN, `byte ${i} was lost`);
      sys.read(server, buffer);
    }
    t.is(buffer[0], i & 255, `byte ${i} was lost`);
    return aborted;
  });
  t.true(won > 0 && lost > 0, `${lost} read, ${won} aborted: no race`);
  t.log(`${lost} read, ${won} aborted`);
});

test('starting and stopping, 500 times', async (t) => {
  const [fd = -1] = sys.pipe2().map((end) => ownedBy(t).own(end));
  for (let i = 0; i < 500; i++) {
    await using actor = await sys.Actor.start();
    const reading = actor.read(fd, new Uint8Array(1));
    reading.catch(() => undefined);
    if (i % 2 === 0) await actor.stop();
  }
  t.pass();
});

test('an abort that races a call which does not block: a descriptor or an AbortError', async (t) => {
  const actor = await actorOf(t);
  let settled = 0;
  for (let i = 0; i < 200; i++) {
    const abort = new AbortController();
    const made = actor.socket(sys.AF_INET, sys.SOCK_STREAM, 0, { signal: abort.signal });
    setImmediate(() => abort.abort());
    await made.then(
      (fd) => sys.close(fd),
      (error) => t.is(error.name, 'AbortError'),
    );
    settled++;
  }
  t.is(settled, 200);
});
