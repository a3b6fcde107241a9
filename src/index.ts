// The public door: `import { tcpInfo, snapshot } from 'closewait'`. Re-exports only.

export { type FourTuple, type SnapshotOptions, SockDiag, snapshot } from './observer/sock-diag.js';
export { TcpInfoReader, tcpInfo, tcpState } from './observer/tcp-info.js';
export type { Endpoint } from './tcp/address.js';
export type { TcpInfo, TcpInfoFields } from './tcp/info.js';
export type { SocketRow, SocketTable } from './tcp/socket-table.js';
export type { TcpState, TcpStateName } from './tcp/states.js';
