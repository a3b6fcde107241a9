import test from 'ava';
import type { FeedOptions } from '../../src/experiment/feed.js';
import { Timeline, type TimelineOptions } from '../../src/experiment/timeline.js';
import { WaitTimeoutError } from '../../src/experiment/wait.js';
import { sample, server, transition } from '../fixture/sightings.js';

const tracepoint: FeedOptions = { name: 'tracepoint', latenessNs: 0, states: 'transitions' };
const polling: FeedOptions = { name: 'polling', latenessNs: 1e6, states: 'samples' };

const us = (count: number): bigint => BigInt(count) * 1000n;

function timelineAt(options: TimelineOptions = {}): Timeline {
  const timeline = new Timeline({ originNs: 0n, ...options });
  timeline.serverListens(server);
  return timeline;
}

/** A timeline at 100 us whose client was in SYN_SENT from 10 and in ESTABLISHED from 20, as far as is known by 30. */
function established() {
  const clock = { nowNs: us(100) };
  const timeline = timelineAt({ now: () => clock.nowNs });
  const states = timeline.open(tracepoint);
  states.push(transition(10, 'client', 'CLOSE', 'SYN_SENT'));
  states.push(transition(20, 'client', 'SYN_SENT', 'ESTABLISHED'));
  states.advance(us(30));
  return { timeline, states, clock };
}

const deadlineMs = 10_000;
const inState = (state: 'ESTABLISHED' | 'FIN_WAIT1' | 'SYN_SENT' | 'CLOSE' | 'FIN_WAIT2') =>
  ({ end: 'client', state }) as const;

/** Whether a promise is settled once the jobs queued now have run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

test('a wait ends with a state entered after it began, out of order or not', async (t) => {
  const { timeline, states } = established();
  const reached = timeline.waitFor(inState('FIN_WAIT1'), { deadlineMs });
  states.push(transition(130, 'client', 'FIN_WAIT1', 'FIN_WAIT2'));
  states.push(transition(120, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  t.deepEqual(await reached, {
    ...{ end: 'client', state: 'FIN_WAIT1', source: 'tracepoint', enteredNs: us(120) },
  });
});

test('a source that comes by several ways is told of once, by the way that saw the end', async (t) => {
  const timeline = timelineAt({ now: () => us(100) });
  for (const end of ['server', 'client'] as const) {
    const looks = timeline.open(polling);
    looks.push(sample(50, end, end === 'client' ? 'ESTABLISHED' : 'CLOSE_WAIT', 1000));
    looks.advance(us(60));
  }
  await t.throwsAsync(timeline.waitFor(inState('FIN_WAIT1'), { deadlineMs: 1 }), {
    message: /^expected client .*; polling saw ESTABLISHED \(heard of 0\.0 ms ago\)$/,
  });
  const other = timeline.waitFor({ end: 'server', state: 'LAST_ACK' }, { deadlineMs: 1 });
  await t.throwsAsync(other, { message: /; polling saw CLOSE_WAIT \(heard of 0\.0 ms ago\)$/ });
});

test('a state still held ends a wait once the source has been heard of after its begin', async (t) => {
  const { timeline, states } = established();
  const reached = timeline.waitFor(inState('ESTABLISHED'), { deadlineMs });
  states.advance(us(99));
  t.false(await isSettled(reached), 'it may have been left at 99.5');
  states.advance(us(100));
  t.is((await reached).enteredNs, us(20));
});

test('a state held at the begin and left after it ends a wait', async (t) => {
  const { timeline, states } = established();
  const reached = timeline.waitFor(inState('ESTABLISHED'), { deadlineMs });
  states.push(transition(101, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  states.advance(us(101));
  t.is((await reached).enteredNs, us(20));
});

test('a state that was left before does not, however late the news', async (t) => {
  const { timeline, states } = established();
  const reached = timeline.waitFor(inState('FIN_WAIT1'), { deadlineMs });
  states.push(transition(80, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  states.push(transition(90, 'client', 'FIN_WAIT1', 'FIN_WAIT2'));
  states.advance(us(200));
  t.false(await isSettled(reached));
  timeline.close();
  await t.throwsAsync(reached, { message: /SYN_SENT > ESTABLISHED > FIN_WAIT1 > FIN_WAIT2/ });
});

test('a sample that ends a state ends it before the source is heard of as far', async (t) => {
  const { timeline } = established();
  const looks = timeline.open(polling);
  looks.push(sample(90, 'client', 'FIN_WAIT1'));
  const reached = timeline.waitFor(inState('FIN_WAIT1'), { deadlineMs });
  // The look began at 110 and found another state by 120: FIN_WAIT1 may have been over at 95.
  looks.push(sample(120, 'client', 'FIN_WAIT2', 25));
  looks.advance(us(110));
  t.false(await isSettled(reached));
  timeline.close();
  await t.throwsAsync(reached);
});

test('a wait since a moment in the past is answered from what is known', async (t) => {
  const { timeline, states } = established();
  states.push(transition(40, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  const at = (state: 'SYN_SENT' | 'ESTABLISHED' | 'FIN_WAIT1', since: number) =>
    timeline.waitFor(inState(state), { deadlineMs, sinceNs: us(since) });
  t.is((await at('SYN_SENT', 0)).enteredNs, us(10), 'kept');
  t.is((await at('FIN_WAIT1', 5)).enteredNs, us(40), 'delivered, without its place yet');
  t.is((await at('ESTABLISHED', 25)).enteredNs, us(20), 'held then');
});

test('CLOSE by a hand-over to a mini-socket does not end a wait: a sampling source does', async (t) => {
  const { timeline, states } = established();
  const looks = timeline.open(polling);
  const reached = timeline.waitFor(inState('CLOSE'), { deadlineMs });
  states.push(transition(110, 'client', 'FIN_WAIT2', 'CLOSE'));
  states.advance(us(500));
  looks.push(sample(400, 'client', 'FIN_WAIT2'));
  t.false(await isSettled(reached));
  const before = timeline.waitFor(inState('CLOSE'), { deadlineMs, sinceNs: 0n });
  t.false(await isSettled(before));
  looks.push(sample(900, 'client', 'CLOSE'));
  t.is((await reached).source, 'polling');
  t.is((await before).source, 'polling');
});

test('a sample tells when a state was left only to within its lateness', async (t) => {
  const timeline = timelineAt({ now: () => us(100) });
  const looks = timeline.open(polling);
  looks.push(sample(50, 'client', 'ESTABLISHED'));
  const reached = timeline.waitFor(inState('ESTABLISHED'), { deadlineMs });
  looks.push(sample(105, 'client', 'FIN_WAIT1', 10));
  looks.push(sample(140, 'client', 'FIN_WAIT2', 10));
  t.false(await isSettled(reached), 'left between 95 and 105: before the wait, perhaps');
  timeline.close();
  await t.throwsAsync(reached);
});

test('a deadline that passes shows the path so far and who looked', async (t) => {
  const { timeline } = established();
  timeline.open(polling);
  const error = await t.throwsAsync(timeline.waitFor(inState('FIN_WAIT2'), { deadlineMs: 5 }), {
    instanceOf: WaitTimeoutError,
    code: 'ERR_WAIT_TIMEOUT',
  });
  t.is(
    error.message,
    'expected client in FIN_WAIT2 within 0.005 s; tracepoint saw SYN_SENT > ESTABLISHED ' +
      '(heard of 0.1 ms ago); polling saw nothing (not heard of)',
  );
});

test('a wait can be aborted, before and after it began', async (t) => {
  const { timeline } = established();
  const reason = new Error('Ctrl-C');
  const controller = new AbortController();
  const { signal } = controller;
  const waiting = timeline.waitFor(inState('FIN_WAIT2'), { deadlineMs, signal });
  controller.abort(reason);
  t.is(await t.throwsAsync(waiting), reason);
  t.is(await t.throwsAsync(timeline.waitFor(inState('CLOSE'), { deadlineMs, signal })), reason);
});

test('a wait that nobody can end is refused or ended', async (t) => {
  const { timeline, states } = established();
  const waiting = timeline.waitFor(inState('FIN_WAIT2'), { deadlineMs });
  states.close();
  await t.throwsAsync(waiting, {
    message: /its last source has ended; tracepoint saw .*\(ended\)/,
  });
  await t.throwsAsync(timeline.waitFor(inState('CLOSE'), { deadlineMs }), { message: /no source/ });
  timeline.close();
  await t.throwsAsync(timeline.waitFor(inState('CLOSE'), { deadlineMs }), { message: /is closed/ });
  t.throws(() => timeline.open(polling), { message: 'the timeline is closed' });
});
