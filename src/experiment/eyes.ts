import type { End } from '../driver/role.js';
import type { Sockets } from '../driver/running.js';
import { SockDiag } from '../observer/sock-diag.js';
import type { Place } from './place.js';

/** The sockets of both ends' network namespaces, for who has to see what it does not do itself. */
export class Eyes implements Disposable {
  readonly #diags: Readonly<Record<End, SockDiag>>;

  private constructor(diags: Readonly<Record<End, SockDiag>>) {
    this.#diags = diags;
  }

  /** Throws SyscallError. */
  static async open(place: Place): Promise<Eyes> {
    return new Eyes(await openDiags(place));
  }

  sockets = (end: End): Sockets => this.#diags[end];

  [Symbol.dispose](): void {
    for (const diag of Object.values(this.#diags)) diag.close();
  }
}

/** Asks in the network namespaces of both ends, or of none where one cannot be asked. Throws SyscallError. */
export async function openDiags(place: Place): Promise<Record<End, SockDiag>> {
  const client = await openDiag(place, 'client');
  try {
    return { client, server: await openDiag(place, 'server') };
  } catch (error) {
    client.close();
    throw error;
  }
}

/** Asks in an end's network namespace, whose sockets are the only ones that it shows. */
async function openDiag(place: Place, end: End): Promise<SockDiag> {
  const actor = await place[end].actor('sock_diag');
  try {
    return new SockDiag(await actor.socket(...SockDiag.socket));
  } finally {
    await actor.stop();
  }
}
