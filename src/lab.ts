// The second public door: what a scenario needs to be run, and what can watch it. Re-exports only.

export type {
  HttpAnswer,
  HttpRequest,
  NodeClientSide,
  NodeConnectOptions,
  NodeListenOptions,
  NodeServerSide,
  NodeSide,
  Reading,
  ServerCall,
  SocketCall,
} from './driver/node-side.js';
export type {
  ActingProgram,
  AppEvent,
  ClientRole,
  Direction,
  DriverName,
  Duplicate,
  End,
  ListenOptions,
  Role,
  ServerRole,
} from './driver/role.js';
export type { Command } from './driver/running.js';
export type {
  DepartureEvent,
  EnterEvent,
  ExitEvent,
  Finding,
  MomentEvent,
  ResetEvent,
  RetransmitEvent,
  SegmentEvent,
  Source,
  StateEvent,
  TimelineEvent,
} from './experiment/event.js';
export type {
  AppRecord,
  CapturedFrame,
  Check,
  Diagnosis,
  Left,
  Moment,
  MomentSocket,
  ObserverReport,
  Run,
  RunRecord,
  Verdict,
} from './experiment/record.js';
export { type RunOptions, run } from './experiment/run.js';
export { BpfIterator, type IteratorOptions } from './observer/bpf-iterator.js';
export { Capture, type CaptureOptions, type Frame } from './observer/capture.js';
export type { ClockStep } from './observer/clock-map.js';
export { type EpollInstances, type EpollInterest, epollInterestOf } from './observer/epoll.js';
export type { Availability } from './observer/observer.js';
export {
  Polling,
  type PollingOptions,
  type Spin,
  type StateChange,
  type Subject,
  spin,
} from './observer/polling.js';
export {
  type BlockedCall,
  type Holder,
  type Holders,
  holdersOf,
  type Thread,
} from './observer/process.js';
export {
  type TraceEvent,
  type TracepointAvailability,
  TracepointObserver,
  type TracepointOptions,
} from './observer/tracepoint.js';
export { catalogue } from './scenario/catalogue.js';
export type { Scenario, Stage } from './scenario/scenario.js';
export type { SegmentBody } from './tcp/control-block.js';
export type { PacketFilter } from './tcp/packet-filter.js';
export type { RingSize, StampSource } from './tcp/packet-ring.js';
export type { Segment, TcpOption } from './tcp/segment.js';
export type {
  EnterRecord,
  ExitRecord,
  ReceiveResetRecord,
  RetransmitRecord,
  SendResetRecord,
  StateRecord,
  TraceRecord,
} from './tcp/tracepoint.js';
export type { Fault, Hit, Match } from './world/fault.js';
export type { Addresses, Host, Place } from './world/host.js';
export type { Link } from './world/link.js';
export {
  type ConversationOptions,
  type LinkedNetwork,
  Network,
  type NetworkHost,
  type NetworkOptions,
} from './world/network.js';
export type { Privilege } from './world/privilege.js';
export {
  type ExpectOptions,
  type SendOptions,
  UnexpectedSegmentError,
  type Wire,
} from './world/wire.js';
export { LoopbackDownError, World, type WorldKind } from './world/world.js';
