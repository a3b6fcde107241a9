import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type ClientRequest, get, request } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { unlessGone } from '../observer/proc.js';
import { socketsOf } from '../observer/process.js';
import { snapshot } from '../observer/sock-diag.js';
import { until } from '../observer/until.js';
import * as sys from '../syscall/sys.js';
import type { SocketRow } from '../tcp/socket-table.js';
import { TextFrames } from './frames.js';

const PORT = 9229;
const ANSWER_MS = 5000;
/** How long after a failure the inspector may take to open, so that it can be closed. */
const LAST_MS = 1000;
/** A thread that runs JavaScript pauses at once; one that waits in its event loop does not pause at all. */
const PAUSE_MS = 300;
const CLOSE_MS = 1000;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly callFrames?: readonly Frame[] };
  readonly result?: { readonly result?: { readonly value?: unknown } };
}

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly location: { readonly lineNumber: number; readonly columnNumber: number };
}

/**
 * Asks a Node process for the JavaScript its main thread runs, and for what keeps it alive.
 *
 * Sends SIGUSR1, by which Node opens its inspector on 127.0.0.1:9229 and says so on its standard error; has it closed as soon
 * as the event loop turns again, also where something fails or `signal` aborts, and says so if it is still there after all.
 * One that was open before stays open.
 * Throws where the process does not catch that signal, which would then kill it, and where no inspector answers: the main
 * thread is blocked outside JavaScript, or in another network namespace.
 */
export async function nodeStacks(pid: number, signal?: AbortSignal): Promise<string> {
  if (!catches(pid, sys.SIGUSR1)) throw new Error('it does not catch SIGUSR1: that would kill it');
  if (listens(pid)) return await asked(await inspectorOf(pid, ANSWER_MS, signal));
  using owned = new sys.Descriptors();
  sys.pidfd_send_signal(owned.own(sys.pidfd_open(pid)), sys.SIGUSR1);
  let stacks: string;
  try {
    stacks = await asked(await inspectorOf(pid, ANSWER_MS, signal));
  } finally {
    // Whatever has happened: nobody is to find the port of a debugger there.
    await closeInspector(pid);
  }
  // Its own question would be a client, so the kernel is asked.
  const isOpen = await until(
    () => listens(pid),
    (open) => !open,
    { deadlineMs: ANSWER_MS, everyMs: 20, signal },
  );
  return isOpen ? `${stacks}its inspector still listens at 127.0.0.1:${PORT}\n` : stacks;
}

async function asked(url: URL): Promise<string> {
  using session = await Session.open(url);
  session.send('Debugger.enable');
  const pause = session.send('Debugger.pause');
  // From then on it is a matter of its own time: before, of whoever else has the processor.
  await session.until(({ id }) => id === pause, ANSWER_MS);
  const paused = await session.until(({ method }) => method === 'Debugger.paused', PAUSE_MS);
  // A pause that has not come would meet the questions that follow; one that has come lets them be answered.
  if (paused === undefined) session.send('Debugger.disable');
  const id = session.send('Runtime.evaluate', {
    expression: 'process.getActiveResourcesInfo?.().join()',
  });
  const alive = await session.until((message) => message.id === id, ANSWER_MS);
  const frames = paused?.params?.callFrames?.map(frameText) ?? ['waits in its event loop'];
  return `main thread:\n${frames.map((line) => `  ${line}\n`).join('')}active: ${alive?.result?.result?.value}\n`;
}

/** Has the inspector close, where it is open. What went wrong before is what is told. */
async function closeInspector(pid: number): Promise<void> {
  try {
    using session = await Session.open(await inspectorOf(pid, LAST_MS));
    // Neither from within a pause nor with a client, nor while one goes, does the inspector end cleanly; and where the event
    // loop has not polled since the signal, it opens again. So this session ends long before, and a poll comes between.
    const expression = `setTimeout(() => setImmediate(() => process._debugEnd()), ${CLOSE_MS})`;
    const end = session.send('Runtime.evaluate', { expression });
    await session.until((message) => message.id === end, ANSWER_MS);
    await session.end(PAUSE_MS);
  } catch {
    // It has not opened, or its process has ended.
  }
}

function frameText({ functionName, url, location }: Frame): string {
  const { lineNumber, columnNumber } = location;
  return `${functionName || '(anonymous)'} ${url}:${lineNumber + 1}:${columnNumber + 1}`;
}

/** Whether a process has a handler for a signal: proc_pid_status(5), SigCgt. */
function catches(pid: number, signal: number): boolean {
  const caught = /^SigCgt:\s*([\da-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return ((BigInt(`0x${caught ?? '0'}`) >> BigInt(signal - 1)) & 1n) === 1n;
}

/** Whether a process listens where its inspector would. */
function listens(pid: number): boolean {
  const inodes = new Set(unlessGone(() => socketsOf(pid))?.map(({ inode }) => inode));
  return listeners().some(({ inode }) => inodes.has(inode));
}

const listeners = (): SocketRow[] =>
  [...snapshot({ states: ['LISTEN'] })].filter(({ local }) => local.port === PORT);

/** Waits until the inspector of this process answers at the port; returns where it listens. Nobody else is asked. */
async function inspectorOf(pid: number, ms: number, signal?: AbortSignal): Promise<URL> {
  const end = performance.now() + ms;
  let last = 'nothing listens';
  while (performance.now() < end) {
    try {
      if (listens(pid)) {
        const [own] = JSON.parse(await body(`http://127.0.0.1:${PORT}/json/list`, signal)) as {
          readonly webSocketDebuggerUrl: string;
        }[];
        if (own !== undefined) return new URL(own.webSocketDebuggerUrl);
      } else if (listeners().length > 0) last = 'another process listens';
    } catch (error) {
      last = (error as Error).message;
    }
    await delay(20, undefined, { signal });
  }
  throw new Error(`no inspector of pid ${pid} answers at 127.0.0.1:${PORT}: ${last}`);
}

/** Ends a request that is not answered: whoever listens there may be stopped, or no inspector. */
function endUnanswered(asking: ClientRequest): ClientRequest {
  return asking.on('timeout', () =>
    asking.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)),
  );
}

function body(url: string, signal?: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { agent: false, timeout: ANSWER_MS, ...(signal && { signal }) };
    const asking = get(url, options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      response.on('end', () => resolve(text)).on('error', reject);
    });
    endUnanswered(asking).on('error', reject);
  });
}

/** A WebSocket that carries JSON. */
class Session implements Disposable {
  readonly #socket: Socket;
  readonly #messages: Message[] = [];
  readonly #frames = new TextFrames();
  #lastId = 0;
  #wake = (): void => undefined;

  private constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    // That was for the answer to the first request.
    socket.setTimeout(0);
    socket.on('data', (chunk: Buffer) => this.#take(chunk)).on('error', () => undefined);
    this.#take(head);
  }

  static open({ hostname, port, pathname }: URL): Promise<Session> {
    const headers = {
      ...{ Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
      'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    };
    return new Promise((resolve, reject) => {
      const options = { headers, agent: false, timeout: ANSWER_MS };
      const asking = request({ hostname, port, path: pathname, ...options });
      endUnanswered(asking)
        .on('upgrade', (_response, socket, head) => resolve(new Session(socket as Socket, head)))
        .on('response', ({ statusCode }) =>
          asking.destroy(new Error(`it answered ${statusCode} instead of speaking WebSocket`)),
        )
        .on('error', reject)
        .end();
    });
  }

  send(method: string, params: object = {}): number {
    const id = ++this.#lastId;
    const text = Buffer.from(JSON.stringify({ id, method, params }));
    // A client's frames are masked; a mask of zeros leaves the text as it is.
    const header = Buffer.alloc(8);
    header.writeUInt16BE(0x81fe);
    header.writeUInt16BE(text.length, 2);
    this.#socket.write(Buffer.concat([header, text]));
    return id;
  }

  /** The first message that fits, also one that came before; undefined after `ms`. */
  async until(fits: (message: Message) => boolean, ms: number): Promise<Message | undefined> {
    const end = performance.now() + ms;
    for (;;) {
      const found = this.#messages.find(fits);
      const leftMs = end - performance.now();
      if (found !== undefined || leftMs <= 0) return found;
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await delay(leftMs, undefined, { signal: woken.signal }).catch(() => undefined);
    }
  }

  /** Says that no more comes, and waits until the other side has said so, too; not for long. */
  async end(ms: number): Promise<void> {
    const signal = AbortSignal.timeout(ms);
    await once(this.#socket.end(), 'close', { signal }).catch(() => undefined);
  }

  #take(chunk: Buffer): void {
    try {
      for (const text of this.#frames.push(chunk)) {
        const message: unknown = JSON.parse(text);
        if (typeof message === 'object' && message !== null) this.#messages.push(message);
      }
    } catch {
      // Whoever this is, it is no inspector: nothing more is heard of it.
      this.#socket.destroy();
    }
    this.#wake();
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}
