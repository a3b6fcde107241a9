// The second public door: what a scenario needs to be run, and what can watch it. Re-exports only.

export type { TimelineEvent } from './experiment/event.js';
export type { Check, Moment, Run, RunRecord } from './experiment/record.js';
export { type RunOptions, run } from './experiment/run.js';
export type { Timeline } from './experiment/timeline.js';
export { BpfIterator, type IteratorOptions } from './observer/bpf-iterator.js';
export { Capture, type CaptureOptions, type Frame } from './observer/capture.js';
export { type EpollInterest, epollInterestOf } from './observer/epoll.js';
export { Polling, type PollingOptions, type StateChange, spin } from './observer/polling.js';
export { type Holder, holdersOf } from './observer/process.js';
export {
  type TraceEvent,
  TracepointObserver,
  type TracepointOptions,
} from './observer/tracepoint.js';
export { catalogue } from './scenario/catalogue.js';
export type { Scenario, Stage } from './scenario/scenario.js';
export type { Fault, Match } from './world/fault.js';
export type { Host } from './world/host.js';
export type { Link } from './world/link.js';
export { Network, type NetworkOptions } from './world/network.js';
export { UnexpectedSegmentError, type Wire } from './world/wire.js';
export { World } from './world/world.js';
