import type { DriverName } from '../../src/driver/role.js';

/** What comes out where a driver that no scenario names tries it all the same, and why. */
export interface KnownDifference {
  readonly scenario: string;
  readonly driver: DriverName;
  /** What the run says. */
  readonly says: RegExp;
  readonly why: string;
  /** It waits for what never comes: so long is enough to see that. */
  readonly enoughMs?: number;
  /** It is what the server's event loop does when it comes round, which may be after a moment: that waits for it. */
  readonly inItsLoop?: true;
}

const [, uvMinor = '0'] = process.versions.uv.split('.');
const hearsResetAsEnd = Number(uvMinor) <= 51;
const READ_AGAIN =
  'on an error Node closes the socket: there is nothing left to read from, where read(2) says 0';
const ACCEPTS =
  'libuv accepts as soon as a connection is there: nothing waits in the queue of a listener';

/** Where a driver differs from the calls of the scenario. Whatever is not listed comes out, or cannot be expressed. */
export const knownDifferences: readonly KnownDifference[] = [
  {
    ...{ scenario: 'server-first', driver: 'libuv' },
    says: /EADDRINUSE/,
    why: 'libuv sets SO_REUSEADDR on every listener',
  },
  {
    ...{ scenario: 'close-with-unread-data', driver: 'libuv' },
    says: hearsResetAsEnd ? /ECONNRESET/ : /the socket is closed/,
    why: "libuv 1.51 and before hear a reset behind data as 'end'; later ones close on it, see node-reset-as-end",
  },
  { ...{ scenario: 'abort', driver: 'libuv' }, says: /the socket is closed/, why: READ_AGAIN },
  {
    ...{ scenario: 'rst-before-accept', driver: 'libuv' },
    says: /the socket is closed/,
    why: READ_AGAIN,
  },
  {
    ...{ scenario: 'accept-queue-close-wait', driver: 'libuv' },
    says: /a descriptor holds the server/,
    why: ACCEPTS,
    inItsLoop: true,
  },
  {
    ...{ scenario: 'listener-closed', driver: 'libuv' },
    says: /has not ended within 3 s/,
    why: ACCEPTS,
    enoughMs: 3_000,
  },
  {
    ...{ scenario: 'fin-in-syn-recv', driver: 'libuv' },
    says: /a descriptor holds the server/,
    why: ACCEPTS,
    inItsLoop: true,
  },
];
