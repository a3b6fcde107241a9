import test from 'ava';
import type { Sighting, TimelineEvent } from '../../src/experiment/event.js';
import type { FeedOptions } from '../../src/experiment/feed.js';
import { Timeline, type TimelineOptions } from '../../src/experiment/timeline.js';
import {
  client,
  enter,
  exit,
  life,
  lifeCalls,
  lifeTransitions,
  segment,
  server,
  transition,
} from '../fixture/sightings.js';

const tracepoint: FeedOptions = { name: 'tracepoint', latenessNs: 0, states: 'transitions' };
const capture: FeedOptions = { name: 'capture', latenessNs: 600, delivers: 'in-order' };

const us = (count: number): bigint => BigInt(count) * 1000n;

function timelineAt(options: TimelineOptions = {}): Timeline {
  const timeline = new Timeline({ originNs: 0n, ...options });
  timeline.serverListens(server);
  timeline.threadActs(1, 'client');
  timeline.threadActs(2, 'server');
  return timeline;
}

/** `12 client FIN_WAIT1`: what an event is about, with its time in microseconds. */
function brief(event: TimelineEvent): string {
  const what =
    event.kind === 'state'
      ? event.state
      : event.kind === 'segment'
        ? event.flags
        : event.kind === 'enter' || event.kind === 'exit'
          ? `${event.kind} ${event.syscall}`
          : event.kind;
  return `${event.tNs / 1000} ${event.end} ${what}`;
}

const briefly = (timeline: Timeline): string[] => timeline.events.map(brief);

test('an event has its place when every source has been heard of beyond it', (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  const packets = timeline.open(capture);
  states.push(transition(30, 'client', 'SYN_SENT', 'ESTABLISHED'));
  states.advance(us(100));
  t.deepEqual(briefly(timeline), [], 'the capture may still have something earlier');
  packets.push(segment(10, { end: 'client', flags: 'S' }));
  t.deepEqual(briefly(timeline), [], 'something else may have passed at the same time');
  packets.push(segment(20, { end: 'server', flags: 'S.' }));
  t.deepEqual(briefly(timeline), ['10 client S']);
  packets.advance(us(30));
  t.deepEqual(briefly(timeline), ['10 client S', '20 server S.', '30 client ESTABLISHED']);
});

test('what a source delivers out of order is put in order', (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  for (const each of [6, 0, 9, 3, 1, 8, 2, 7, 5, 4]) {
    states.push(lifeTransitions[each] as Sighting);
  }
  timeline.close();
  t.deepEqual(
    timeline.events.map(({ tNs }) => BigInt(tNs)),
    lifeTransitions.map(({ tNs }) => tNs),
  );
  t.deepEqual(
    timeline.events.map(({ id }) => id),
    lifeTransitions.map((_, id) => id),
  );
});

test('of two events at the same time, the source that joined first goes first', (t) => {
  const timeline = timelineAt();
  const [states, packets] = [timeline.open(tracepoint), timeline.open(capture)];
  packets.push(segment(10, { end: 'client', flags: 'S' }));
  states.push(transition(10, 'client', 'CLOSE', 'SYN_SENT'));
  timeline.close();
  t.deepEqual(briefly(timeline), ['10 client SYN_SENT', '10 client S']);
});

test('a late event is delivered, marked and a finding', (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  states.push(transition(20, 'client', 'SYN_SENT', 'ESTABLISHED'));
  states.advance(us(50));
  states.push(transition(10, 'client', 'CLOSE', 'SYN_SENT'));
  states.push(transition(40, 'client', 'ESTABLISHED', 'FIN_WAIT1'));
  t.deepEqual(
    timeline.events.map((event) => [brief(event), event.late ?? false]),
    [
      ['20 client ESTABLISHED', false],
      ['10 client SYN_SENT', true],
      ['40 client FIN_WAIT1', false],
    ],
  );
  const late = timeline.findings.find(({ kind }) => kind === 'late');
  t.deepEqual(late?.values, { late: 2, worstLateNs: 40_000 });
});

test('a prompt source is not waited for; one that has ended neither', (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  const packets = timeline.open(capture);
  const scenario = timeline.open({ name: 'scenario', latenessNs: 0, delivers: 'promptly' });
  scenario.push({ kind: 'moment', tNs: us(15), name: 'connected' });
  states.push(transition(10, 'client', 'CLOSE', 'SYN_SENT'));
  states.advance(us(20));
  t.deepEqual(briefly(timeline), []);
  packets.close();
  t.deepEqual(briefly(timeline), ['10 client SYN_SENT', '15 null moment']);
});

test('sockets of others and other namespaces are left out', (t) => {
  const timeline = new Timeline({ originNs: 0n });
  const states = timeline.open(tracepoint);
  states.push(transition(5, 'server', 'CLOSE', 'LISTEN', { netns: 4 }));
  states.advance(us(6));
  t.deepEqual(briefly(timeline), [], 'whose it is cannot be told yet');
  timeline.serverListens(server, { netns: 4 });
  const elsewhere = { local: { ...client, port: 1 }, remote: { ...server, port: 2 } };
  states.push({ ...transition(7, 'client', 'CLOSE', 'SYN_SENT'), ...elsewhere });
  states.push(transition(8, 'client', 'CLOSE', 'SYN_SENT', { netns: 5 }));
  states.push(transition(9, 'client', 'CLOSE', 'SYN_SENT', { netns: 4 }));
  timeline.close();
  t.deepEqual(briefly(timeline), ['5 server LISTEN', '9 client SYN_SENT']);
});

test('an IPv6 socket that speaks IPv4 belongs to its packets, and a server may listen on any address', (t) => {
  const timeline = new Timeline({ originNs: 0n });
  timeline.serverListens({ address: '0.0.0.0', port: server.port });
  const [states, packets] = [timeline.open(tracepoint), timeline.open(capture)];
  const mapped = {
    local: { ...server, address: `::ffff:${server.address}` },
    remote: { ...client, address: `::ffff:${client.address}` },
  };
  states.push({ ...transition(1, 'server', 'SYN_RECV', 'ESTABLISHED'), ...mapped });
  packets.push(segment(2, { end: 'client', flags: 'P.' }));
  timeline.close();
  t.deepEqual(briefly(timeline), ['1 server ESTABLISHED', '2 client P.']);
});

test('the listener is told from the connection', (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  const listening = { remote: { address: '0.0.0.0', port: 0 } };
  states.push({ ...transition(1, 'server', 'CLOSE', 'LISTEN'), ...listening });
  states.push(transition(2, 'server', 'LISTEN', 'SYN_RECV'));
  timeline.close();
  t.deepEqual(
    timeline.events.map((event) => event.kind === 'state' && event.listener),
    [true, undefined],
  );
});

test('calls are paired with what they cause, by thread and by time', (t) => {
  const timeline = timelineAt();
  const [calls, packets] = [timeline.open(tracepoint), timeline.open(capture)];
  for (const each of [...lifeCalls, ...lifeTransitions]) calls.push(each);
  for (const each of life) packets.push(each);
  timeline.close();
  const paired = timeline.events.flatMap((event) => {
    if (event.kind !== 'state' && event.kind !== 'segment') return [];
    const { cause } = event;
    return [[brief(event), cause && `${cause.end} ${cause.syscall} by ${cause.by}`]];
  });
  t.deepEqual(paired, [
    ['99 client SYN_SENT', 'client connect by thread'],
    ['100 client S', 'client connect by time'],
    ['110 server S.', 'client connect by time'],
    ['111 client ESTABLISHED', 'client connect by thread'],
    ['120 client .', 'client connect by time'],
    ['121 server SYN_RECV', 'client connect by thread'],
    ['122 server ESTABLISHED', 'client connect by thread'],
    ['200 client P.', 'client write by time'],
    ['210 server .', 'client write by time'],
    ['2999 client FIN_WAIT1', 'client close by thread'],
    ['3000 client F.', 'client close by time'],
    ['3001 server CLOSE_WAIT', 'client close by thread'],
    ['43000 server .', undefined],
    ['43001 client FIN_WAIT2', undefined],
    ['43008 client CLOSE', undefined],
    ['49999 server LAST_ACK', 'server close by thread'],
    ['50000 server F.', 'server close by time'],
    ['50010 client .', 'server close by time'],
    ['50011 server CLOSE', 'server close by thread'],
  ]);
  const close = timeline.events.find(({ kind, tNs }) => kind === 'exit' && tNs === 3_010_000);
  t.like(close, { kind: 'exit', end: 'client', durationNs: 20_000 });
  t.like(timeline.events[(close as { enter: number }).enter], { kind: 'enter', tNs: 2_990_000 });
});

test('an exit that nobody sees the end of causes nothing that happens later', (t) => {
  const timeline = timelineAt();
  const [calls, packets] = [timeline.open(tracepoint), timeline.open(capture)];
  calls.push(enter(10, 1, 'exit_group'));
  for (const each of life) packets.push(each);
  timeline.close();
  t.true(timeline.events.length > life.length);
  for (const event of timeline.events) t.false('cause' in event);
});

test('a call on another socket of the same end, or one that does not act, is not blamed', (t) => {
  const timeline = timelineAt();
  const calls = timeline.open(tracepoint);
  for (const each of [
    enter(1, 1, 'connect', 3n),
    transition(2, 'client', 'CLOSE', 'SYN_SENT', { tid: 1, socket: 0xan }),
    exit(3, 1, 'connect'),
    enter(4, 1, 'shutdown', 3n),
    transition(5, 'client', 'ESTABLISHED', 'CLOSE', { tid: 1, socket: 0xbn }),
    exit(6, 1, 'shutdown'),
    enter(7, 1, 'clock_nanosleep'),
    transition(8, 'client', 'FIN_WAIT1', 'FIN_WAIT2', { tid: 1, socket: 0xan }),
    exit(9, 1, 'clock_nanosleep'),
    enter(10, 1, 'close', 3n),
    transition(11, 'client', 'FIN_WAIT2', 'CLOSE', { tid: 1, socket: 0xan }),
  ]) {
    calls.push(each);
  }
  timeline.close();
  t.deepEqual(
    timeline.events.flatMap((event) => (event.kind === 'state' ? [event.cause?.syscall] : [])),
    ['connect', undefined, undefined, 'close'],
  );
});

test('several read at once, each from the oldest event kept, until the timeline is closed', async (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  const read = async (): Promise<string[]> => {
    const seen: string[] = [];
    for await (const event of timeline) seen.push(brief(event));
    return seen;
  };
  const early = read();
  const [first] = lifeTransitions;
  states.push(first as Sighting);
  states.advance(us(99));
  const live = timeline[Symbol.asyncIterator]();
  t.is((await live.next()).value?.tNs, 99_000);
  const next = live.next();
  const late = read();
  for (const each of lifeTransitions.slice(1)) states.push(each);
  states.advance(us(111));
  t.is((await next).value?.tNs, 111_000, 'pushed while somebody waits');
  timeline.close();
  t.is((await early).length, lifeTransitions.length);
  t.deepEqual(await late, await early);
  timeline.close();
});

test('memory is bounded: the oldest events go, and are counted', async (t) => {
  const timeline = timelineAt({ limit: 4 });
  const states = timeline.open(tracepoint);
  for (const each of lifeTransitions) states.push(each);
  t.is(timeline.events.length, 4, 'those that wait count too');
  timeline.close();
  t.is(timeline.dropped, 6);
  const ids: number[] = [];
  for await (const { id } of timeline) ids.push(id);
  t.deepEqual(ids, [6, 7, 8, 9]);
  t.true(timeline.findings.some(({ kind, values }) => kind === 'lost' && values['lost'] === 6));
});

test('what is known of states outlives the events that give way', (t) => {
  const whole = timelineAt();
  const timeline = timelineAt({ limit: 8 });
  for (const each of [whole, timeline]) {
    const states = each.open(tracepoint);
    const packets = each.open(capture);
    for (const sighting of [...life, ...lifeTransitions].sort((a, b) => Number(a.tNs - b.tNs))) {
      for (const feed of [states, packets]) feed.advance(sighting.tNs - 1n);
      (sighting.kind === 'state' ? states : packets).push(sighting);
    }
    for (const feed of [states, packets]) feed.advance(us(10 ** 6));
    each.close();
  }
  t.true(timeline.dropped > 0);
  const told = ({ states }: Timeline) => states.map(({ end, state }) => `${end} ${state}`);
  t.deepEqual(told(timeline), told(whole));
  // What no segment explains may have been explained by one that gave way.
  t.deepEqual(
    timeline.findings.map(({ kind }) => kind),
    ['lost'],
  );
});

test('a source that fails ends the timeline: who reads and waits gets its error', async (t) => {
  const timeline = timelineAt();
  const states = timeline.open(tracepoint);
  const error = new Error('ENOSPC');
  const waiting = timeline.waitFor({ end: 'client', state: 'TIME_WAIT' }, { deadlineMs: 10_000 });
  const reading = timeline[Symbol.asyncIterator]().next();
  states.fail(error);
  t.is(await t.throwsAsync(reading), error);
  t.is((await t.throwsAsync(waiting)).cause, error);
});
