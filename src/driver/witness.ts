import type { AppEvent, Cast, ClientRole, End, Role, ServerRole } from './role.js';
import { checkVerb, isOfRole } from './verbs.js';

/** Verbs that are the lab's and not the application's: they give one more role. */
const COMPANIONS: ReadonlySet<string> = new Set(['another', 'thread']);

/** A cast that keeps what its applications did and were told. */
export interface Witnessed extends Cast {
  /** So far, in order. */
  application(): Readonly<Record<End, readonly AppEvent[]>>;
}

/** The same cast; what is asked of its roles is written down, with what came of it. */
export function witness(cast: Cast): Witnessed {
  const calls: Record<End, AppEvent[]> = { client: [], server: [] };
  const server: ServerRole = watched(cast.server, calls.server);
  const client: ClientRole = watched(cast.client, calls.client);
  return Object.assign(Object.create(cast) as Cast, {
    server,
    client,
    application: () => {
      const heard = cast.heard?.();
      return {
        client: inOrder(calls.client, heard?.client),
        server: inOrder(calls.server, heard?.server),
      };
    },
  });
}

function inOrder(calls: readonly AppEvent[], events: readonly AppEvent[] = []): AppEvent[] {
  return [...calls, ...events].sort((a, b) => (a.tNs < b.tNs ? -1 : a.tNs > b.tNs ? 1 : 0));
}

/** A role as all drivers have it; its calls are written down, where there is a place for that. */
function watched<R extends Role>(role: R, calls?: AppEvent[]): R {
  return new Proxy(role, {
    get(target, property) {
      if (typeof property === 'string' && !isOfRole(target, property)) return undefined;
      const value: unknown = Reflect.get(target, property, target);
      if (typeof value !== 'function') return value;
      // Its methods have private fields of the role itself.
      const method = value.bind(target) as (...args: readonly unknown[]) => unknown;
      if (typeof property === 'symbol') return method;
      if (COMPANIONS.has(property)) return async () => watched((await method()) as Role);
      return (...args: readonly unknown[]) => {
        try {
          checkVerb(target, property, args);
        } catch (error) {
          return Promise.reject(error);
        }
        const result = method(...args);
        if (result instanceof Promise && calls !== undefined) note(property, result, calls);
        return result;
      };
    },
  });
}

function note(name: string, outcome: Promise<unknown>, calls: AppEvent[]): void {
  const write = (more: Pick<AppEvent, 'result' | 'code'>): void => {
    calls.push({ tNs: process.hrtime.bigint(), kind: 'call', name, ...more });
  };
  outcome.then(
    (result) => write(isPlain(result) ? { result: size(result) } : {}),
    (error: NodeJS.ErrnoException) => write({ code: error.code ?? error.name }),
  );
}

const isPlain = (value: unknown): value is string | number =>
  typeof value === 'string' || typeof value === 'number';

/** Bytes are told as their number: the story holds them against what they should be. */
const size = (result: string | number): number =>
  typeof result === 'string' ? Buffer.byteLength(result) : result;
