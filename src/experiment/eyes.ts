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
    return new Eyes({
      client: await diagOf(place, 'client'),
      server: await diagOf(place, 'server'),
    });
  }

  sockets = (end: End): Sockets => this.#diags[end];

  [Symbol.dispose](): void {
    for (const diag of Object.values(this.#diags)) diag.close();
  }
}

/** Asks in an end's network namespace, whose sockets are the only ones that it shows. */
export async function diagOf(place: Place, end: End): Promise<SockDiag> {
  const actor = await place[end].actor('sock_diag');
  try {
    return new SockDiag(await actor.socket(...SockDiag.socket));
  } finally {
    await actor.stop();
  }
}
