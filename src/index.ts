// The public door: `import { tcpInfo, snapshot } from 'closewait'`. Re-exports only; `closewait/lab` has what runs scenarios.

export { diagnose } from './diagnose/diagnose.js';
export type { DiagnoseOptions } from './diagnose/options.js';
export type { ProcessReport, StackReport, ThreadReport } from './diagnose/process.js';
export type { Counts, Diagnosis, HolderReport, SocketReport } from './diagnose/record.js';
export type { Runtime } from './diagnose/runtime.js';
export type { Source } from './diagnose/source-record.js';
export { Watch, type WatchOptions } from './diagnose/watch.js';
export type { GroupTick, ProcessTick, Tick } from './diagnose/watch-record.js';
export {
  type FindOptions,
  type FourTuple,
  type SnapshotOptions,
  SockDiag,
  snapshot,
} from './observer/sock-diag.js';
export { TcpInfoReader, tcpInfo, tcpState } from './observer/tcp-info.js';
export type { Endpoint } from './tcp/address.js';
export type { Cause } from './tcp/cause.js';
export type { CaState, TcpInfo, TcpInfoFields } from './tcp/info.js';
export type { SocketMemory, SocketRow, SocketTable, TimerName } from './tcp/socket-table.js';
export type { TcpState, TcpStateName } from './tcp/states.js';
