import { createServer, type Server } from 'node:http';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { optionsFrom } from '../diagnose/options.js';
import { Watch, type WatchOptions } from '../diagnose/watch.js';
import type { Tick } from '../diagnose/watch-record.js';
import { formatNdjson } from '../report/ndjson.js';
import { formatPrometheus } from '../report/prometheus.js';
import { formatHeader, formatLines, formatScreen } from '../report/watch.js';
import {
  AS_EXPECTED,
  CannotRun,
  EXPECTATION_FAILED,
  type Io,
  interruption,
  Usage,
} from './command.js';
import { needProc } from './place.js';

/** The words of its command line. */
export interface WatchFlags {
  readonly pid?: readonly string[];
  readonly port?: readonly string[];
  readonly interval?: string;
  readonly listen?: string;
  readonly once?: true;
  readonly json?: true;
}

const INTERVAL_MS = 1000;
const LEAST_MS = 10;

/** `closewait watch` */
export async function watch(flags: WatchFlags, io: Io): Promise<number> {
  const { pid, port, listen, once, json } = flags;
  const options = optionsFrom({ ...(pid && { pid }), ...(port && { port }) });
  if (typeof options === 'string') throw new Usage(options);
  const intervalMs = intervalFrom(flags.interval);
  const address = listen === undefined ? undefined : addressFrom(listen);
  needProc();
  const signal = interruption();

  using eyes = await opened(options);
  let last: Tick = await eyes.look();
  await using exporter = address && (await Exporter.start(address, () => last));
  if (exporter) io.chatter(`metrics at ${exporter.url}`);
  const show = (): void => io.out(shown(last, io, json));
  if (!json && io.rows === undefined) io.out(formatHeader(last));
  if (!once) show();
  let nextMs = performance.now();
  let goesOn: boolean;
  do {
    nextMs += intervalMs;
    const leftMs = nextMs - performance.now();
    // A look that took longer than the interval is not made up for.
    if (leftMs < 0) nextMs = performance.now();
    if (!(await passes(Math.max(0, leftMs), signal))) break;
    // Asked first: what a process leaves by its end is to be seen as well.
    goesOn = eyes.goesOn;
    last = await eyes.look();
    show();
  } while (!once && goesOn);
  return last.leaks > 0 ? EXPECTATION_FAILED : AS_EXPECTED;
}

async function opened(options: WatchOptions): Promise<Watch> {
  try {
    return await Watch.open(options);
  } catch (error) {
    // A number that no process has.
    throw error instanceof RangeError ? new CannotRun(error.message) : error;
  }
}

function shown(tick: Tick, { paint, columns, rows }: Io, json: true | undefined): string {
  if (json) return formatNdjson([tick]);
  return rows === undefined ? formatLines(tick) : formatScreen(tick, paint, { columns, rows });
}

/** Waits; false if it was told to end. */
async function passes(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await delay(ms, undefined, { signal });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  }
}

function intervalFrom(text: string | undefined): number {
  if (text === undefined) return INTERVAL_MS;
  const ms = Number(text);
  if (!/^\d+$/.test(text) || ms < LEAST_MS || ms >= 2 ** 31) {
    throw new Usage(`not an interval of ${LEAST_MS} ms or more: ${text}`);
  }
  return ms;
}

interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:9464`, `[::1]:9464` */
function addressFrom(text: string): ListenAddress {
  const [, v6, v4, port = ''] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = v6 ?? v4 ?? '';
  if (isIP(host) !== (v6 === undefined ? 4 : 6) || Number(port) > 65535) {
    throw new Usage(`not an address and port to listen on, such as 127.0.0.1:9464: ${text}`);
  }
  return { host, port: Number(port) };
}

/** Answers Prometheus with the last look. */
class Exporter implements AsyncDisposable {
  readonly url: string;
  readonly #server: Server;

  private constructor(server: Server, { host }: ListenAddress) {
    this.#server = server;
    const bound = server.address();
    const port = typeof bound === 'object' ? bound?.port : undefined;
    this.url = `http://${host.includes(':') ? `[${host}]` : host}:${port}/metrics`;
  }

  /** Throws Node's own error where the address cannot be had. */
  static start(address: ListenAddress, last: () => Tick): Promise<Exporter> {
    return new Promise((resolve, reject) => {
      const server = createServer(async ({ url }, response) => {
        if (url !== '/metrics') {
          response.writeHead(404).end('/metrics\n');
          return;
        }
        const { contentType, text } = await formatPrometheus(last());
        response.writeHead(200, { 'Content-Type': contentType }).end(text);
      });
      server.on('error', reject);
      server.listen(address, () => resolve(new Exporter(server, address)));
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
