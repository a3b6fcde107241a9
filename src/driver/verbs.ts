// What a role is, whichever driver acts it: its verbs, and what they take. A slip of a story's author has one answer.

import { types } from 'node:util';
import { socketOptions } from '../syscall/option.js';
import {
  checkEndpoint,
  checkFields,
  checkUnsigned,
  invalidType,
  invalidValue,
} from '../tcp/argument.js';
import type { ClientRole, Direction, ListenOptions, Role, ServerRole } from './role.js';

/** All that a role has, under its names: what is added to the type is asked for here. */
type Names<R> = Readonly<Record<Extract<keyof R, string>, true>>;

const ROLE: Names<Role> = {
  ...{ end: true, pid: true, tid: true, blocks: true, program: true, withDescriptor: true },
  ...{ send: true, fill: true, receive: true, readEnd: true, shutdown: true, close: true },
  ...{ abort: true, setOption: true, getOption: true, setNonblocking: true },
  ...{ discardArriving: true, duplicate: true, local: true, peer: true, destroy: true },
  ...{ thread: true, node: true },
};
const SERVER: Names<ServerRole> = {
  ...ROLE,
  ...{ address: true, listen: true, bind: true, connect: true, stopListening: true },
  ...{ accept: true, echo: true, another: true },
};
const CLIENT: Names<ClientRole> = {
  ...ROLE,
  ...{ open: true, bind: true, connect: true, fastOpen: true, disconnect: true, another: true },
};

/** Whether a role of that end has something under a name: a driver's own affairs are nobody else's. */
export function isOfRole({ end }: Role, name: string): boolean {
  return Object.hasOwn(end === 'server' ? SERVER : CLIENT, name);
}

const DIRECTIONS: Readonly<Record<Direction, true>> = {
  ...{ SHUT_RD: true, SHUT_WR: true, SHUT_RDWR: true },
};
const LISTEN: Readonly<Record<keyof ListenOptions, true>> = {
  ...{ port: true, backlog: true, reuseAddress: true, fastOpen: true },
};

const CHECKS: Readonly<Record<string, (first: unknown, role: Role) => void>> = {
  accept(_, role) {
    if ((role as ServerRole).address !== undefined) return;
    throw new Error('the server accepts nothing before it listens: listen() comes first');
  },
  listen(options: unknown = {}) {
    checkFields('how to listen', options, LISTEN);
    const { port = 0 } = options as ListenOptions;
    checkUnsigned('port', port, 0xffff);
  },
  connect(to) {
    checkEndpoint('to', to);
  },
  send(data) {
    if (typeof data === 'string' || types.isUint8Array(data)) return;
    throw invalidType(`send() takes text or bytes, received ${typeof data}`);
  },
  shutdown(how) {
    if (typeof how === 'string' && Object.hasOwn(DIRECTIONS, how)) return;
    const names = Object.keys(DIRECTIONS).join(', ');
    throw invalidValue(`shutdown() takes one of ${names}, not ${String(how)}`);
  },
  setOption: checkOption,
  getOption: checkOption,
};

function checkOption(name: unknown): void {
  if (typeof name === 'string' && Object.hasOwn(socketOptions, name)) return;
  throw invalidValue(`there is no socket option ${String(name)}`);
}

/** Refuses what no driver could do. Throws Error; of arguments, TypeError or RangeError. */
export function checkVerb(role: Role, name: string, [first]: readonly unknown[]): void {
  if (Object.hasOwn(CHECKS, name)) CHECKS[name]?.(first, role);
}
