/** Every way for bytes into the addon, and what each is given. */
import type { Native } from '../../src/syscall/native.js';
import * as sys from '../../src/syscall/sys.js';
import type { Input } from './native-input.js';

/** A method of Input that makes one argument; `none` waits for nothing. */
type Kind =
  | Exclude<keyof Input, 'byte' | 'word' | 'check'>
  /** A socket of the internet: one of Unix would make files. */
  | 'internet'
  /** What ioctl(2) is asked for, mostly something that the addon knows. */
  | 'request'
  /** 0. */
  | 'none';

/** The parameters of each call that takes bytes, as JavaScript gives them. */
export const calls: Readonly<Record<string, readonly Kind[]>> = {
  socketpair: ['number', 'number', 'number', 'bytes'],
  bind: ['internet', 'bytes'],
  accept: ['fd', 'bytes'],
  accept4: ['fd', 'bytes', 'number'],
  connect: ['internet', 'bytes'],
  read: ['fd', 'bytes'],
  write: ['fd', 'bytes'],
  readv: ['fd', 'vectors'],
  writev: ['fd', 'vectors'],
  recv: ['fd', 'bytes', 'number'],
  send: ['fd', 'bytes', 'number'],
  sendto: ['internet', 'bytes', 'number', 'bytes'],
  recvmsg: ['fd', 'vectors', 'bytes', 'bytes', 'bytes', 'number'],
  sendmsg: ['fd', 'vectors', 'bytes', 'bytes', 'number'],
  getsockname: ['fd', 'bytes'],
  getpeername: ['fd', 'bytes'],
  getsockopt: ['fd', 'number', 'number', 'bytes'],
  setsockopt: ['fd', 'number', 'number', 'bytes'],
  setfilter: ['fd', 'number', 'number', 'bytes'],
  poll: ['bytes', 'none'],
  ppoll: ['bytes', 'zeroes'],
  ioctl: ['fd', 'request', 'bytes'],
  epoll_wait: ['fd', 'bytes', 'none'],
  pipe2: ['bytes', 'number'],
  open: ['path', 'openFlags', 'none'],
  openat: ['fd', 'path', 'openFlags', 'none'],
  getdents64: ['fd', 'bytes'],
  readlinkat: ['fd', 'text', 'bytes'],
  getxattr: ['path', 'text', 'bytes'],
  clock_gettime: ['number', 'bytes'],
  clock_getres: ['number', 'bytes'],
  clock_nanosleep: ['number', 'number', 'zeroes', 'bytes'],
  waitid: ['number', 'number', 'bytes', 'number'],
  fsopen: ['text', 'number'],
  perf_event_open: ['bytes', 'number', 'number', 'fd', 'number'],
  perf_set_filter: ['fd', 'text'],
  bpf_prog_load: ['number', 'number', 'number', 'bytes', 'text', 'bytes'],
  bpf_info: ['fd', 'bytes'],
  inet_pton: ['number', 'text', 'bytes'],
  inet_ntop: ['number', 'bytes', 'bytes'],
  sequence: ['steps', 'bytes', 'bytes', 'bytes'],
  spawn: ['program', 'text', 'environment', 'descriptors', 'number', 'bytes'],
};

/** Whether a call is left out: it would do what nobody can take back, or what LIMITATIONS leaves to the caller. */
export function harmful(name: string, args: readonly unknown[]): boolean {
  const [, level, option] = args;
  // Both hold addresses that the kernel writes to.
  if (name === 'getsockopt' && level === sys.IPPROTO_TCP && option === sys.TCP_ZEROCOPY_RECEIVE)
    return true;
  if (/sockopt|setfilter/.test(name) && (level === sys.IPPROTO_IP || level === sys.IPPROTO_IPV6))
    return Number(option) >= 64 && Number(option) < 68; // a table of netfilter's
  // It waits for a child.
  if (name === 'waitid') return (Number(args[3]) & sys.WNOHANG) === 0;
  // It may set an interface, which the next connection needs.
  if (name !== 'ioctl' || typeof level !== 'number') return false;
  return level >= 0x8900 && level < 0x8a00 && !requests.includes(level);
}

const requests = [
  ...[sys.SIOCINQ, sys.SIOCOUTQ, sys.SIOCOUTQNSD, sys.SIOCATMARK, sys.FIONBIO],
  ...[sys.SIOCGIFFLAGS, sys.SIOCGIFINDEX, sys.SIOCGIFHWADDR, sys.SIOCGIFMTU, sys.SIOCGIFADDR],
];

export function argumentsFor(name: string, input: Input): unknown[] {
  return (calls[name] ?? []).map((kind) => {
    if (kind === 'none') return 0;
    if (kind === 'request') return requests[input.byte() % 16] ?? input.number();
    return kind === 'internet' ? input.fd(3) : input[kind]();
  });
}

const page = (input: Input): ArrayBuffer => {
  const size = input.byte() % 2 === 0 ? 256 : input.byte();
  return Uint8Array.from({ length: size }, () => input.byte()).buffer;
};

/** A call by its gate, with a page of the input's making: its result, or nothing where there is no page for one. */
export function passGate(addon: Native, name: string, input: Input): unknown {
  const buffer = page(input);
  addon.usePage(buffer);
  const words = new Int32Array(buffer, 0, 8);
  words[1] = Number(input.fd());
  // Mostly on the page, and no longer than it.
  if (input.byte() < 192)
    words.set([32 + (input.byte() >> 3), input.byte() % 64], 2 + (input.byte() % 4));
  words[7] = input.byte();
  const [, , level, option] = words;
  if (harmful(name, [0, level, option])) return 0;
  addon.gates[name as keyof Native['gates']]?.();
  return words[0];
}
