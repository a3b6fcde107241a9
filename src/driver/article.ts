/**
 * What the article's two programs share besides stdio: their arguments and their error_handling().
 */
import * as sys from '../syscall/sys.js';
import { complain, print } from './stdio.js';

/** The size of both programs' message buffer, bytes. */
export const BUF_SIZE = 1024;

/** What to do about an error, by system call and code. */
const ADVICE: Readonly<Record<string, string>> = {
  'bind EACCES': 'ports this low are not for every user; choose one from 1024 up',
  'bind EADDRINUSE':
    'another socket has this port, or a connection closed here first is in TIME_WAIT on it; choose another port or wait a minute',
  'bind EADDRNOTAVAIL':
    'no interface here has this address; without --host every one is listened on',
  'connect ECONNREFUSED': 'nothing listens there; start `closewait server <port>` first',
  'connect EHOSTUNREACH': 'no way to this host; check the address',
  'connect ENETUNREACH': 'no way to this network; check the address',
  'connect ETIMEDOUT': 'no answer; check the address, and what filters packets on the way',
  'read ECONNRESET': 'the other end has reset the connection',
  'write ECONNRESET': 'the other end has reset the connection',
  'write EPIPE': 'the other end is gone',
};

/** Prints what error_handling() does, then what the kernel said and what to do about it. */
export function explain(error: unknown): void {
  if (!(error instanceof sys.SyscallError)) throw error;
  const advice = ADVICE[`${error.syscall} ${error.code}`];
  complain(`${error.syscall}() error`);
  complain(advice === undefined ? error.message : `${error.message}: ${advice}`);
}

/** Whether a program has told on stderr which call failed, or that its peer is gone: what else ends it is not its connection's. */
export const hasSaidWhy = (stderr: string): boolean =>
  /^(?:\w+\(\) error$|The server closed )/m.test(stderr);

/** An argument that cannot be used; the message is for the user. */
class BadArgument extends Error {}

/**
 * Runs a program to its exit code, which is 1 if its arguments will not do or a system call it needs fails.
 *
 * `read` turns the arguments into options, or returns undefined when their number is wrong.
 */
export function exitCodeOf<Options>(
  usage: string,
  read: () => Options | undefined,
  program: (options: Options) => number,
): number {
  let options: Options | undefined;
  try {
    options = read();
  } catch (error) {
    if (!(error instanceof BadArgument || isFromParseArgs(error))) throw error;
    complain(error.message);
  }
  if (options === undefined) {
    print(usage);
    return 1;
  }
  try {
    return program(options);
  } catch (error) {
    explain(error);
    return 1;
  }
}

/** Reads a port, strictly: atoi() makes 0 of a word and htons() cuts 65536 to 0. */
export function portOf(text: string, { least }: { least: 0 | 1 }): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= least && port <= 65535) return port;
  throw new BadArgument(`"${text}" is not a port: a number from ${least} to 65535`);
}

/** Tells the family of a numeric address. */
export function familyOf(address: string): number {
  const family = [sys.AF_INET, sys.AF_INET6].find((each) => sys.inet_pton(each, address));
  if (family !== undefined) return family;
  throw new BadArgument(`"${address}" is not an IPv4 or IPv6 address; names are not looked up`);
}

function isFromParseArgs(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^ERR_PARSE_ARGS_/.test(String(error.code));
}
