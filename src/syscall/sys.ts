// The public door of this folder: `import * as sys from 'closewait/syscall'`.

export { Actor, type ActorCalls, type ActorOptions, type CallOptions } from './actor.js';
export * from './constants.js';
export {
  close,
  Descriptors,
  dup,
  dup3,
  type EpollEvent,
  epoll_create1,
  epoll_ctl,
  epoll_wait,
  eventfd,
  fcntl,
  ioctl,
  lseek,
  open,
  type PollRequest,
  type PollResult,
  pipe2,
  poll,
  read,
  readv,
  write,
  writev,
} from './descriptor.js';
export {
  type Dirent,
  decodeDirents,
  getdents64,
  getxattr,
  openat,
  readlinkat,
} from './directory.js';
export * from './errno.js';
export { AbortError, type CallSite, SyscallError } from './error.js';
export {
  type ControlMessage,
  type IncomingBuffers,
  type IncomingMessage,
  type OutgoingMessage,
  recvmsg,
  sendmsg,
} from './message.js';
export {
  getOption,
  type SocketOptionName,
  type SocketOptionQuestion,
  type SocketOptionValue,
  setOption,
  socketOptions,
} from './option.js';
export type {
  FlowLabel,
  GroupFilter,
  GroupMembership,
  GroupSource,
  Md5Key,
  Membership,
  Membership6,
  MulticastInterface,
  PacketInfo6,
  PathMtu,
  SourceFilter,
  SourceMembership,
} from './option-address-codec.js';
export type { Codec, Credentials, Linger, PortRange, ZerocopyReceive } from './option-codec.js';
export type { SocketOption } from './option-row.js';
export {
  clock_getres,
  clock_gettime,
  type Exit,
  gettid,
  nanosleep,
  pidfd_getfd,
  pidfd_open,
  pidfd_send_signal,
  type Spawned,
  type SpawnOptions,
  setns,
  sleep,
  spawn,
  syscallName,
  unshare,
  waitid,
} from './process.js';
export { SEQUENCE, STEP_LENGTH, sequence } from './sequence.js';
export {
  decodeAddress,
  encodeAddress,
  inet_ntop,
  inet_pton,
  type SocketAddress,
} from './sockaddr.js';
export {
  type Accepted,
  accept,
  accept4,
  attachedFilter,
  attachFilter,
  bind,
  connect,
  getpeername,
  getsockname,
  getsockopt,
  listen,
  recv,
  send,
  sendto,
  setsockopt,
  shutdown,
  socket,
  socketpair,
} from './socket.js';
