/**
 * The article's echo server: one client, and no close() once that client has gone.
 *
 * It keeps the C program's order of calls, messages and exit codes. With `--close` it is the program of the article
 * before, which closes and ends.
 */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as sys from '../syscall/sys.js';
import { BUF_SIZE, exitCodeOf, explain, familyOf, portOf } from './article.js';
import { complain, print, readOnce, restarted, writeAll } from './stdio.js';

interface Options {
  readonly family: number;
  readonly host: string;
  readonly port: number;
  readonly close: boolean;
}

/** A line of a source file; `line` counts from 1. */
export interface SourceLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
}

/**
 * Runs the server, blocking this thread: `<port> [--close] [--host ADDRESS]`, port 0 for any.
 *
 * Returns the exit code; without `--close` it does not return once a client has been there. As in C, a failure leaves
 * the descriptors to the end of the process.
 */
export function runServer(argv: readonly string[]): number {
  return exitCodeOf('Usage : closewait server <port>\n', () => optionsOf(argv), serve);
}

function serve({ family, host, port, close }: Options): number {
  const server = sys.socket(family, sys.SOCK_STREAM, 0);
  sys.bind(server, { address: host, port });
  sys.listen(server, 5);
  if (port === 0) complain(`Listening on ${chosenBy(server)}`);

  const { fd: client } = restarted(server, sys.POLLIN, () => sys.accept(server));
  print('Connected client 1 \n');
  echo(client);
  if (close) sys.close(client);

  while (!close) {
    sys.sleep(1000);
    print('while...\n');
  }
  sys.close(server);
  return 0;
}

/** Sends back what comes until the other end closes; an error ends the conversation too. */
function echo(client: number): void {
  const message = new Uint8Array(BUF_SIZE);
  try {
    for (;;) {
      const length = readOnce(client, message);
      if (length === 0) return;
      writeAll(client, message.subarray(0, length));
    }
  } catch (error) {
    explain(error);
  }
}

/**
 * Finds the close() the server leaves out, in the source this module was compiled from or, where that is not at hand,
 * in the module itself; undefined when neither has it.
 */
export function missingClose(): SourceLine | undefined {
  const module = fileURLToPath(import.meta.url);
  const source = module.replace(/[/\\]dist([/\\]src[/\\]driver[/\\]\w+)\.js$/, '$1.ts');
  for (const file of [source, module]) {
    if (!existsSync(file)) continue;
    const lines = readFileSync(file, 'utf8').split('\n');
    const index = lines.findIndex((line) => /\bsys\.close\(client\)/.test(line));
    const text = lines[index]?.trim();
    if (text !== undefined) return { file, line: index + 1, text };
  }
  return undefined;
}

function optionsOf(argv: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      close: { type: 'boolean', default: false },
      host: { type: 'string', default: '0.0.0.0' },
    },
  });
  const [port, ...more] = positionals;
  if (port === undefined || more.length > 0) return undefined;
  const { close, host } = values;
  return { family: familyOf(host), host, port: portOf(port, { least: 0 }), close };
}

function chosenBy(server: number): string {
  const { address, port } = sys.getsockname(server);
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
