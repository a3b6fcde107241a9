/**
 * The article's client: sends each line typed, prints what comes back, closes on Q.
 *
 * It keeps the C program's order of calls, messages and exit codes. One read is made for each message, as in C: TCP is
 * a stream, so a reply that arrives in parts is printed in parts, one prompt late.
 */
import { parseArgs } from 'node:util';
import * as sys from '../syscall/sys.js';
import { BUF_SIZE, exitCodeOf, familyOf, portOf } from './article.js';
import { complain, LineReader, print, readOnce, writeAll } from './stdio.js';

interface Options {
  readonly family: number;
  readonly address: string;
  readonly port: number;
}

/**
 * Runs the client, blocking this thread: `<IP> <port>`, lines from standard input.
 *
 * Returns the exit code. The end of standard input is taken for Q.
 */
export function runClient(argv: readonly string[]): number {
  return exitCodeOf('Usage : closewait client <IP> <port> \n', () => optionsOf(argv), converse);
}

function converse({ family, address, port }: Options): number {
  const sock = sys.socket(family, sys.SOCK_STREAM, 0);
  sys.connect(sock, { address, port });
  print('Connected..............\n');

  using input = new LineReader();
  const reply = new Uint8Array(BUF_SIZE - 1);
  for (;;) {
    print('Input message(Q to quit): ');
    const message = input.fgets(BUF_SIZE);
    if (message === undefined || /^[qQ]\n$/.test(Buffer.from(message).toString('latin1'))) break;
    writeAll(sock, message);
    const length = readOnce(sock, reply);
    if (length === 0) {
      complain('The server closed the connection and left this message without a reply');
      sys.close(sock);
      return 1;
    }
    print(Buffer.concat([Buffer.from('Message from server: '), reply.subarray(0, length)]));
  }
  sys.close(sock);
  return 0;
}

function optionsOf(argv: readonly string[]): Options | undefined {
  const { positionals } = parseArgs({ args: [...argv], allowPositionals: true, options: {} });
  const [address, port, ...more] = positionals;
  if (address === undefined || port === undefined || more.length > 0) return undefined;
  return { family: familyOf(address), address, port: portOf(port, { least: 1 }) };
}
