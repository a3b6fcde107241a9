#!/usr/bin/env node
// argv, exit codes, stdout. What a command needs is imported when it runs: `--help` should not wait for the rest.

import { closeSync, fstatSync, readFileSync, writeSync } from 'node:fs';
import { isatty } from 'node:tty';
import { styleText } from 'node:util';
import type { Io } from './command/command.js';
import { CANNOT_RUN, CannotRun, INTERRUPTED, USAGE, Usage } from './command/command.js';
import { messageOf } from './command/remedy.js';

const chatter = (line: string): void => console.error(`closewait: ${line}`);

/** Whether escape sequences do something there: a dumb terminal shows them. */
const obeys = ({ isTTY }: NodeJS.WriteStream): boolean => isTTY && process.env['TERM'] !== 'dumb';

function paint(style: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string): string {
  const plain = !obeys(process.stdout) || (process.env['NO_COLOR'] ?? '') !== '';
  // Whether to paint was decided above: Node would ask the environment again, and paint nothing in a CI job.
  return plain ? text : styleText(style, text, { validateStream: false });
}

/** How long what scenarios leave behind may go on. */
const GRACE_MS = 500;

function endSoon(before: readonly string[]): void {
  const end = (): void => {
    // A slow reader of what was printed is none of it.
    if (process.stdout.writableLength > 0) return;
    const left = process.getActiveResourcesInfo().filter((each) => !before.includes(each));
    if (left.length > 0) chatter(`ended what a scenario left going on: ${left.join(', ')}`);
    process.exit();
  };
  setInterval(end, GRACE_MS).unref();
}

let shown = '';

function status(line: string): void {
  if (line !== shown) process.stderr.write(`\r\x1b[K${line}`);
  shown = line;
}

const STDOUT = 1;

/** Of the standard descriptors. */
const terminals = [0, STDOUT, 2].filter((fd) => isatty(fd));

/** Those whose terminal was closed since. */
const hungUp = (): number[] => terminals.filter((fd) => !isatty(fd));

function unwritable(error: NodeJS.ErrnoException): never {
  // A reader that has seen enough (`| head`) is no error.
  if (error.code === 'EPIPE') process.exit(0);
  chatter(`standard output: ${error.message}`);
  process.exit(CANNOT_RUN);
}

/** Node takes for whole what a file has taken a part of, as one on a full disk does: the rest would be lost, and nothing said. */
function writeWhole(text: string | Uint8Array): void {
  let rest = Buffer.from(text);
  try {
    while (rest.length > 0) rest = rest.subarray(writeSync(STDOUT, rest));
  } catch (error) {
    unwritable(error as NodeJS.ErrnoException);
  }
}

const io: Io = {
  out: fstatSync(STDOUT, { bigint: true }).isFile()
    ? writeWhole
    : (text) => process.stdout.write(text),
  chatter,
  status: obeys(process.stderr) ? status : undefined,
  endSoon,
  endNow: (exitCode) => process.exit(exitCode),
  paint,
  columns: process.stdout.columns || 80,
  rows: obeys(process.stdout) ? process.stdout.rows || 24 : undefined,
};

const PROGRAM_HELP = {
  server: `Usage: closewait server <port> [--host ADDRESS] [--close]

The article's echo server: it serves one client, never closes the connection, and sleeps.
Port 0 lets the kernel choose and prints the choice on stderr. --close is the correct version:
it closes both descriptors and ends. --host listens on one address only (default 0.0.0.0).
`,
  client: `Usage: closewait client <IP> <port>

The article's client: it sends each line typed, prints what comes back, and closes on Q.
`,
} as const;

/** The values of an option that may be given again and again. */
const several = (value: string, before: readonly string[] = []): readonly string[] => [
  ...before,
  value,
];

const OUTSIDER_HELP = `
A command: 'python3 app.py {port}'. No shell reads it, but quotes count. {host} and {port} in it, or HOST and PORT in its
environment, say where to listen or connect; it is ready when it listens. Nobody drives it: what it does of its own accord
is waited for, 5 s each, and the states of both ends and who resets are held against the scenario.`;

/** The two programs have the command line of the C programs: nothing may come between. */
async function programCommand(name: 'server' | 'client', argv: string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    io.out(PROGRAM_HELP[name]);
    return 0;
  }
  // What ps, netstat and ss show: not one of many a node.
  process.title = `closewait-${name}`;
  if (name === 'server') return (await import('./driver/server.js')).runServer(argv);
  return (await import('./driver/client.js')).runClient(argv);
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

async function main(argv: string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === 'server' || first === 'client') return programCommand(first, rest);
  const [topic] = rest;
  if (first === 'help' && (topic === 'server' || topic === 'client')) {
    return programCommand(topic, ['--help']);
  }

  const { Command, CommanderError } = await import('commander');
  let exitCode = 0;
  const keep =
    <A extends unknown[]>(command: (...args: A) => number | Promise<number>) =>
    async (...args: A): Promise<void> => {
      exitCode = await command(...args);
    };
  const program = new Command('closewait')
    .description('A lab for the life and death of TCP connections, on the real Linux kernel.')
    .version(version(), '-V, --version', 'print the version')
    .configureOutput({ writeOut: io.out })
    .exitOverride()
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText(
      'after',
      '\nExit codes: 0 as expected, 1 an expectation failed or a leak was found, 2 usage, 3 cannot run here, 130 interrupted.',
    );
  const json = 'print one JSON document';
  program
    .command('run')
    .argument('[scenario...]', 'which, by name or by a file of yours; none is all of the catalogue')
    .description('run scenarios and hold what happens against what should')
    .option(
      '--driver <name>',
      'who acts: raw (calls on threads), libuv (node:net), program (processes), or all that can',
    )
    .option('--family <version>', 'over which IP version: 4, 6 or both')
    .option('--fast', 'leave out those that take longer than some seconds')
    .option('--repeat <times>', 'run each that often')
    .option('--jobs <number>', 'how many run at once; left out, by the number of CPUs')
    .option('--timeout <seconds>', 'how long one run may take; left out, 120')
    .option('--format <name>', 'how to tell it: story, ladder, transitions or ndjson')
    .option('--reporter <name>', 'tell it to a program: tap or junit')
    .option('--json', json)
    .option('--pcap <file>', 'write the packets as pcapng, for Wireshark')
    .option('--host-network', 'run on the real loopback, where your own tools see it')
    .option('--pause', 'wait for Enter at each moment, to look around with tools of your own')
    .option('--server <command>', 'a command acts the server, raw calls the client')
    .option('--client <command>', 'a command acts the client, raw calls the server')
    .addHelpText('after', OUTSIDER_HELP)
    .action(keep(async (names, flags) => (await import('./command/run.js')).run(names, flags, io)));
  program
    .command('compare')
    .argument('[scenario]', 'which, by name or by a file of yours; none is every one of Node')
    .description('run a scenario by several drivers, Nodes or commands, and show what differs')
    .option(
      '--drivers <names>',
      'who acts, by commas: raw, libuv, program (default: raw, libuv, and program if the scenario names it)',
    )
    .option('--node <path...>', 'other Nodes for driver libuv to run on, besides this one')
    .option('--server <command>', 'a command acts the server; again for another', several)
    .option('--client <command>', 'a command acts the client; again for another', several)
    .addHelpText('after', OUTSIDER_HELP)
    .option('--json', json)
    .option('--host-network', 'run on the real loopback')
    .action(
      keep(async (name, flags) => (await import('./command/compare.js')).compare(name, flags, io)),
    );
  program
    .command('list')
    .description('list the scenarios')
    .option('--json', json)
    .action(keep(async (flags) => (await import('./command/list.js')).list(flags, io)));
  program
    .command('explain')
    .argument(
      '[name]',
      'a state, spelled as by netstat or ss, a cause, or a scenario; none is the state diagram',
    )
    .description(
      'say what a state means, who must act and what leads out, or what a scenario shows',
    )
    .option('--json', json)
    .action(
      keep(async (name, flags) => (await import('./command/explain.js')).explain(name, flags, io)),
    );
  program
    .command('observers')
    .description('list who can watch, what each is blind to and costs, and why one cannot')
    .option('--json', json)
    .action(keep(async (flags) => (await import('./command/observers.js')).observers(flags, io)));
  program
    .command('states')
    .description('list the TCP sockets of this network namespace, as netstat -antp does')
    .option('--state <name...>', 'only these states, spelled as in netstat')
    .option('--json', json)
    .action(keep(async (flags) => (await import('./command/states.js')).states(flags, io)));
  program
    .command('diagnose')
    .description('find the sockets of running processes that nobody closes, and say why')
    .option('--pid <pid...>', 'only what these processes hold, in their network namespaces')
    .option('--port <port...>', 'only sockets with one of these ports')
    .option('--state <name...>', 'only these states, spelled as in netstat')
    .option('--all', 'every network namespace a process is in, not only this one')
    .option('--settle <ms>', 'how long a socket must stay as it is to be a leak (default 1000)')
    .option('--stacks', "also run each runtime's own tool for its stacks: that stops the process")
    .option('--json', json)
    .addHelpText(
      'after',
      '\nWithout --pid and --all: this network namespace, all processes that may be read.',
    )
    .action(keep(async (flags) => (await import('./command/diagnose.js')).diagnose(flags, io)));
  program
    .command('watch')
    .description('watch the sockets that nobody closes: which grow, and when descriptors run out')
    .option('--pid <pid...>', 'only what these processes hold, in their network namespaces')
    .option('--port <port...>', 'only sockets with one of these ports')
    .option('--interval <ms>', 'from one look to the next (default 1000)')
    .option('--once', 'two looks, one report')
    .option('--listen <address:port>', 'answer Prometheus there, such as on 127.0.0.1:9464')
    .option('--json', 'print one JSON object a look')
    .addHelpText('after', '\nEnds by Ctrl-C, or with the processes: 1 if leaks stood at the end.')
    .action(keep(async (flags) => (await import('./command/watch.js')).watch(flags, io)));
  program
    .command('release')
    .description('end one connection that a process keeps: it says what it will do, and asks')
    .option('--pid <pid>', 'whose it is')
    .option('--fd <fd>', 'which of its descriptors')
    .option('--how <name>', 'shutdown (the peer gets a FIN) or reset (it gets a RST)')
    .option('--destroy <local remote...>', 'by its two endpoints instead, such as 127.0.0.1:80')
    .option('--yes', 'do not ask')
    .option('--json', json)
    .addHelpText(
      'after',
      '\nThe descriptor stays open: only its owner can close it. Exits with 1 where it did not help.',
    )
    .action(keep(async (flags) => (await import('./command/release.js')).release(flags, io)));
  program
    .command('bench')
    .description('time how connections end, by mode and driver, against plain C')
    .option('--mode <name...>', 'only these modes: client-first, server-first, abort, http, ...')
    .option('--driver <name...>', 'only these: c, raw, raw-composite, libuv, program')
    .option('-n <cycles>', 'connections, of each driver in each mode (10000)')
    .option('--json', json)
    .option('--compare <file>', 'say what changed since an earlier --json')
    .option('--bound <ratio>', 'from which on slower is a regression (1.05)')
    .option('--html <file>', 'write the distributions as a page')
    .option('--scale [n...]', 'hold n in CLOSE_WAIT and tear them down (1000 10000 100000)')
    .action(keep(async (flags) => (await import('./command/bench.js')).bench(flags, io)));
  program.command('server').description("the article's server: closewait server <port>");
  program.command('client').description("the article's client: closewait client <IP> <port>");
  // commander answers --help with its help and exit 0, also behind a command that it does not know; `help` with all of it.
  const asked = first === 'help' ? topic : first;
  const known =
    asked === undefined ||
    asked.startsWith('-') ||
    program.commands.some((command) => command.name() === asked);
  try {
    await program.parseAsync(known ? argv : [asked], { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : USAGE;
  }
  return exitCode;
}

function explain(thrown: unknown): number {
  // What failed first is why; that something could not be closed afterwards is not.
  let error = thrown;
  // By its name: before Node 24 it is the compiler's own.
  while (error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error) {
    error = error.suppressed;
  }
  if (error instanceof Usage) {
    chatter(error.message);
    return USAGE;
  }
  if (error instanceof CannotRun) {
    chatter(error.message);
    return CANNOT_RUN;
  }
  if (error instanceof Error && 'code' in error) {
    if (error.name === 'AbortError') {
      chatter('interrupted');
      return INTERRUPTED;
    }
    const cannot = ['ERR_UNSUPPORTED_PLATFORM', 'ERR_ADDON_MISSING', 'ERR_LOOPBACK_DOWN'];
    // What the kernel refuses to the lab itself is no result of an experiment.
    if ('syscall' in error || cannot.includes(String(error.code))) {
      chatter(messageOf(error));
      return CANNOT_RUN;
    }
  }
  throw error;
}

process.stdout.on('error', (error) => {
  // A job in the background is not told, and the others perhaps not yet: it ends as they do.
  if (hungUp().includes(STDOUT)) process.kill(process.pid, 'SIGHUP');
  else unwritable(error);
});
// Nobody is left to be told.
process.stderr.on('error', () => {});
// At its end Node 20 aborts over a terminal that it cannot set as it was, but not over a closed descriptor.
process.on('exit', () => {
  for (const fd of hungUp()) closeSync(fd);
});
process.exitCode = await main(process.argv.slice(2)).catch(explain);
