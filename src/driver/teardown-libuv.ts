import { Socket } from 'node:net';
import * as sys from '../syscall/sys.js';
import { PAYLOAD, RECORD, type TeardownArm, type TeardownMode } from './teardown.js';
import { type Pair, PairMaker } from './teardown-pair.js';

const payload = new Uint8Array(PAYLOAD).fill(0x2e);
const DEADLINE_MS = 10_000;
const now = process.hrtime.bigint;

/** One cycle, as its events come. */
interface Cycle {
  readonly client: Socket;
  readonly server: Socket;
  closing: bigint;
  seen: bigint;
  /** Bytes the client has read. */
  received: number;
  error: NodeJS.ErrnoException | undefined;
}

interface Script {
  /** The end that must leave its data unread. */
  readonly deaf?: 'server';
  /** Whether the client reads from the start, or only once it has begun to close. */
  readonly drains?: true;
  /** How many bytes the client must get. */
  readonly answer?: number;
  /** What is waited for, set up before the clock starts. */
  listen(cycle: Cycle): void;
  /** What the one who closes first does. */
  begin(cycle: Cycle): void;
}

const see = (cycle: Cycle): void => {
  cycle.seen = now();
};

function onEndDestroy(cycle: Cycle, who: Socket): void {
  who.once('end', () => {
    see(cycle);
    who.destroy();
  });
}

/** The modes as node:net says them. */
const scripts: Readonly<Record<string, Script>> = {
  'client-first': {
    listen: (cycle) => onEndDestroy(cycle, cycle.server),
    begin: ({ client }) => client.destroy(),
  },
  'server-first': {
    listen: (cycle) => onEndDestroy(cycle, cycle.client),
    begin: ({ server }) => server.destroy(),
  },
  'shutdown-drain': {
    drains: true,
    answer: PAYLOAD,
    listen: (cycle) => onEndDestroy(cycle, cycle.server),
    begin: ({ client }) => {
      client.end();
      client.resume();
    },
  },
  abort: {
    listen: (cycle) => cycle.server.once('error', () => see(cycle)),
    begin: ({ client }) => client.resetAndDestroy(),
  },
  'unread-data': {
    deaf: 'server',
    listen: (cycle) => cycle.client.once('error', () => see(cycle)),
    begin: ({ server }) => server.destroy(),
  },
  linger2: {
    listen: (cycle) => onEndDestroy(cycle, cycle.server),
    begin: (cycle) => {
      cycle.client.end(() => {
        cycle.closing = now();
        cycle.client.destroy();
      });
    },
  },
  'half-close': {
    answer: PAYLOAD,
    listen: (cycle) => {
      cycle.server.once('end', () => {
        see(cycle);
        cycle.server.end(payload);
      });
    },
    begin: ({ client }) => client.end(),
  },
  http: {
    answer: PAYLOAD,
    listen: (cycle) => {
      const { client, server } = cycle;
      server.once('data', () => {
        server.write(payload);
        cycle.closing = now();
        server.destroySoon();
      });
      onEndDestroy(cycle, client);
    },
    begin: ({ client }) => client.write(payload),
  },
};

/**
 * The same connections, ended by node:net. Both ends live in this process's event loop, adopted as descriptors, so that all
 * drivers begin with the same sockets, and TCP_LINGER2, for which node:net has no word, is set.
 */
export class LibuvArm implements TeardownArm {
  readonly driver = 'libuv';
  readonly tids = [sys.gettid()];
  readonly #pairs: PairMaker;
  readonly #mode: TeardownMode;
  readonly #script: Script;

  constructor(mode: TeardownMode) {
    const script = scripts[mode.name];
    if (script === undefined) throw new TypeError(`libuv has no words for ${mode.name}`);
    this.#mode = mode;
    this.#pairs = new PairMaker(mode);
    this.#script = script;
  }

  get port(): number {
    return this.#pairs.port;
  }

  async run(records: BigInt64Array): Promise<void> {
    const pair: Pair = { client: -1, server: -1 };
    let stuck = (): void => {};
    const deadline = setTimeout(() => stuck(), DEADLINE_MS);
    try {
      for (let at = 0; at < records.length; at += RECORD.length) {
        this.#pairs.open(pair);
        deadline.refresh();
        await new Promise<void>((resolve) => {
          stuck = this.#tearDown(pair, records.subarray(at, at + RECORD.length), resolve);
        });
      }
    } finally {
      clearTimeout(deadline);
    }
  }

  /** Ends one connection; returns what gives it up. */
  #tearDown(pair: Pair, record: BigInt64Array, done: () => void): () => void {
    const { listen, begin, deaf, drains, answer = 0 } = this.#script;
    const client = new Socket({ fd: pair.client, allowHalfOpen: true });
    const server = new Socket({
      fd: pair.server,
      allowHalfOpen: true,
      readable: deaf !== 'server',
      writable: true,
    });
    const cycle: Cycle = { client, server, closing: 0n, seen: 0n, received: 0, error: undefined };
    let open = 2;
    let lost = false;
    const closed = (): void => {
      if (--open > 0) return;
      record[RECORD.end] = now();
      record[RECORD.closing] = cycle.closing;
      record[RECORD.seen] = cycle.seen;
      const fault = lost ? sys.ETIMEDOUT : this.#fault(cycle, answer);
      record[RECORD.fault] = fault === 0 ? 0n : BigInt(this.#mode.seeing + 1);
      record[RECORD.returned] = BigInt(-fault);
      done();
    };
    for (const socket of [client, server]) {
      socket.once('close', closed);
      socket.on('error', (error) => {
        cycle.error = error;
      });
    }
    client.on('data', ({ length }) => {
      cycle.received += length;
    });
    if (drains) client.pause();
    listen(cycle);
    if (deaf === undefined && server.listenerCount('data') === 0) server.resume();
    cycle.closing = now();
    record[RECORD.start] = cycle.closing;
    begin(cycle);
    return () => {
      lost = true;
      client.destroy();
      server.destroy();
    };
  }

  /** The errno of what went wrong, or 0. */
  #fault({ error, received, seen }: Cycle, answer: number): number {
    const reset = error?.code === 'ECONNRESET';
    const expected = this.#mode.steps.some(({ act }) => act === 'error');
    if (expected !== reset) return error?.errno === undefined ? sys.EPROTO : -error.errno;
    return seen === 0n || received !== answer ? sys.EBADMSG : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#pairs[Symbol.dispose]();
  }
}
