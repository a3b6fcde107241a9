#!/usr/bin/env node
// argv, exit codes, stdout. What a command needs is imported when it runs: `--help` should not wait for the rest.

import { styleText } from 'node:util';

/** Exit codes of the contract. */
const EXPECTATION_FAILED = 1;
const USAGE = 2;
const CANNOT_RUN = 3;

/** Cannot run here, and why. */
class CannotRun extends Error {}
/** The command line is wrong. */
class Usage extends Error {}

const chatter = (line: string): void => console.error(`closewait: ${line}`);

function paint(style: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string): string {
  const plain = !process.stdout.isTTY || (process.env['NO_COLOR'] ?? '') !== '';
  // Whether to paint was decided above: Node would ask the environment again, and paint nothing in a CI job.
  return plain ? text : styleText(style, text, { validateStream: false });
}

interface RunFlags {
  readonly driver?: string;
  readonly json?: true;
  readonly pcap?: string;
  readonly hostNetwork?: true;
  readonly pause?: true;
}

/**
 * As a plain user, runs this very command again as root of a namespace of its own; undefined if there is no need to, or if
 * the kernel forbids it.
 */
async function again(): Promise<number | undefined> {
  const { privilege } = await import('./world/world.js');
  if (privilege() !== 'plain') return undefined;
  const { enterNamespaces } = await import('./world/enter.js');
  const { constants } = await import('node:os');
  try {
    const argv = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
    const inside = await enterNamespaces(process.execPath, argv);
    // A terminal sends Ctrl-C to both, others send their signal only to us: the one inside may hear it twice.
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(name, () => inside.signal(constants.signals[name]));
    }
    return await inside.exitCode;
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    chatter(
      `no namespace for a plain user here (${error.message}); on the host's loopback instead`,
    );
    return undefined;
  }
}

/** A namespace where this process may make one, else the host's network. */
async function bestWorld(): Promise<'namespace' | 'host'> {
  const { privilege, World } = await import('./world/world.js');
  if (privilege() === 'plain') return 'host';
  try {
    await (await World.open('namespace')).close();
    return 'namespace';
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    chatter(`no network namespace here (${error.message}); on the host's loopback instead`);
    return 'host';
  }
}

/** Waits for Enter at each moment, so that one can look around with tools of one's own. */
async function pauses(signal: AbortSignal): Promise<{
  at(moment: { readonly name: string }): Promise<void>;
  end(): void;
}> {
  const { createInterface } = await import('node:readline');
  const input = createInterface({ input: process.stdin });
  signal.addEventListener('abort', () => input.close());
  const lines = input[Symbol.asyncIterator]();
  return {
    async at({ name }) {
      chatter(`${name}: look around, then press Enter`);
      await lines.next();
      signal.throwIfAborted();
    },
    end: () => input.close(),
  };
}

async function runCommand(names: string[], flags: RunFlags): Promise<number> {
  const { catalogue } = await import('./scenario/catalogue.js');
  const scenarios = names.map((name) => {
    const scenario = catalogue.find((each) => each.name === name);
    if (scenario === undefined) {
      throw new Usage(`no scenario "${name}"; \`closewait list\` shows them`);
    }
    return scenario;
  });
  const { driver } = flags;
  if (driver !== undefined && driver !== 'raw' && driver !== 'program') {
    throw new Usage(`no driver "${driver}": it is raw or program`);
  }
  for (const { name, drivers } of scenarios) {
    if (driver !== undefined && !drivers.includes(driver)) {
      throw new Usage(`driver ${driver} cannot act ${name}; ${drivers.join(' and ')} can`);
    }
  }
  if (flags.pcap !== undefined && scenarios.length !== 1) {
    throw new Usage('--pcap takes the capture of one scenario: name it');
  }
  const { readlinkSync } = await import('node:fs');
  if (readlinkSync('/proc/self') !== String(process.pid)) {
    throw new CannotRun('/proc is of another pid namespace: mount it anew (unshare --mount-proc)');
  }
  if (!flags.hostNetwork) {
    const exitCode = await again();
    if (exitCode !== undefined) return exitCode;
  }
  const world = flags.hostNetwork ? 'host' : await bestWorld();
  const { run } = await import('./experiment/run.js');
  const { formatRun, formatVerdict } = await import('./report/terminal.js');
  const { formatJson } = await import('./report/json.js');

  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => interrupted.abort());
  }
  const chosen = scenarios.length > 0 ? scenarios : catalogue;
  const pause = flags.pause ? await pauses(interrupted.signal) : undefined;
  using _pause = { [Symbol.dispose]: () => pause?.end() };
  const runs = [];
  for (const scenario of chosen) {
    const one = await run(scenario, {
      world,
      signal: interrupted.signal,
      ...(pause && { onMoment: pause.at }),
      ...(driver !== undefined && { driver }),
    });
    runs.push(one);
    if (flags.json) continue;
    const whole = scenarios.length === 1 && one.record.verdict !== 'skipped';
    process.stdout.write(
      whole ? formatRun(one, scenario, paint) : `${formatVerdict(one, paint)}\n`,
    );
  }
  const [only] = runs;
  if (flags.json) {
    const records = runs.map(({ record }) => record);
    process.stdout.write(formatJson(names.length === 1 ? records[0] : records));
  }
  if (flags.pcap !== undefined && only !== undefined) await writeCapture(flags.pcap, only);
  return runs.every(({ record }) => record.ok) ? 0 : EXPECTATION_FAILED;
}

async function writeCapture(
  file: string,
  { frames, record }: import('./experiment/record.js').Run,
): Promise<void> {
  const capture = record.observers.find(({ name }) => name === 'capture');
  if (capture?.available !== true) {
    throw new CannotRun(`${file} is not written: no capture: ${capture?.reason ?? record.reason}`);
  }
  const { encodePcapng } = await import('./report/pcapng.js');
  const { writeFileSync } = await import('node:fs');
  const bytes = encodePcapng(
    frames.map(({ realtimeNs, bytes }) => ({ timeNs: realtimeNs, bytes })),
    {
      linkType: 'ethernet',
      interfaceName: 'lo',
      application: 'closewait',
      os: `Linux ${record.kernel}`,
    },
  );
  try {
    writeFileSync(file, bytes);
  } catch (error) {
    throw new CannotRun(`${file} is not written: ${(error as Error).message}`);
  }
  chatter(`${frames.length} packets in ${file}`);
}

async function listCommand(flags: { json?: true }): Promise<number> {
  const { catalogue } = await import('./scenario/catalogue.js');
  if (flags.json) {
    const { formatJson } = await import('./report/json.js');
    const rows = catalogue.map(({ name, title, source, summary, drivers }) => ({
      name,
      title,
      source,
      summary,
      drivers,
    }));
    process.stdout.write(formatJson(rows));
    return 0;
  }
  const width = Math.max(...catalogue.map(({ name }) => name.length));
  for (const { name, title } of catalogue)
    process.stdout.write(`${name.padEnd(width)}  ${title}\n`);
  return 0;
}

async function observersCommand(flags: { json?: true }): Promise<number> {
  const { observers } = await import('./observer/observers.js');
  const all = observers();
  if (flags.json) {
    const { formatJson } = await import('./report/json.js');
    process.stdout.write(formatJson(all));
    return 0;
  }
  const { formatObservers } = await import('./report/observers.js');
  process.stdout.write(formatObservers(all, paint));
  return 0;
}

async function statesCommand(flags: { json?: true; state?: string[] }): Promise<number> {
  const { snapshot } = await import('./observer/sock-diag.js');
  const { holdersOf } = await import('./observer/process.js');
  const { stateNumber } = await import('./tcp/states.js');
  const states = flags.state?.map((name) => {
    if (stateNumber(name) === undefined)
      throw new Usage(`no state "${name}"; spelled as in netstat`);
    return name as import('./tcp/states.js').TcpStateName;
  });
  const table = snapshot(states === undefined ? {} : { states });
  const rows = [...table];
  const { holders, incomplete } = holdersOf(
    rows.map(({ inode }) => inode).filter((inode) => inode !== 0),
  );
  const owned = rows.map((row) => ({ ...row, holders: holders.get(row.inode) ?? [] }));
  for (const reason of table.incomplete) chatter(`sockets may be missing: ${reason}`);
  for (const reason of incomplete) chatter(`owners may be missing: ${reason}`);
  if (flags.json) {
    const { formatJson } = await import('./report/json.js');
    process.stdout.write(formatJson(owned));
    return 0;
  }
  const { formatNetstat } = await import('./report/netstat.js');
  process.stdout.write(
    formatNetstat(
      owned.map(({ holders: [owner], ...row }) => ({
        ...row,
        ...(owner !== undefined && { owner }),
      })),
    ),
  );
  return 0;
}

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

/** The two programs have the command line of the C programs: nothing may come between. */
async function programCommand(name: 'server' | 'client', argv: string[]): Promise<number> {
  if (argv.includes('--help')) {
    process.stdout.write(PROGRAM_HELP[name]);
    return 0;
  }
  // What ps, netstat and ss show: not one of many a node.
  process.title = `closewait-${name}`;
  if (name === 'server') return (await import('./driver/server.js')).runServer(argv);
  return (await import('./driver/client.js')).runClient(argv);
}

async function main(argv: string[]): Promise<number> {
  const [first, ...rest] = argv;
  if (first === 'server' || first === 'client') return programCommand(first, rest);

  const { Command, CommanderError } = await import('commander');
  let exitCode = 0;
  const keep =
    <A extends unknown[]>(command: (...args: A) => Promise<number>) =>
    async (...args: A): Promise<void> => {
      exitCode = await command(...args);
    };
  const program = new Command('closewait')
    .description('A lab for the life and death of TCP connections, on the real Linux kernel.')
    .exitOverride()
    .showHelpAfterError('(--help shows what there is)')
    .addHelpText(
      'after',
      '\nExit codes: 0 as expected, 1 an expectation failed, 2 usage, 3 cannot run here, 130 interrupted.',
    );
  const json = 'print one JSON document';
  program
    .command('run')
    .argument('[scenario...]', 'which; none is all of them')
    .description('run scenarios and hold what happens against what should')
    .option(
      '--driver <name>',
      'who acts: program (real processes) or raw (system calls on threads)',
    )
    .option('--json', json)
    .option('--pcap <file>', 'write the packets as pcapng, for Wireshark')
    .option('--host-network', 'run on the real loopback, where your own tools see it')
    .option('--pause', 'wait for Enter at each moment, to look around with tools of your own')
    .action(keep(runCommand));
  program
    .command('list')
    .description('list the scenarios')
    .option('--json', json)
    .action(keep(listCommand));
  program
    .command('observers')
    .description('list who can watch, what each is blind to and costs, and why one cannot')
    .option('--json', json)
    .action(keep(observersCommand));
  program
    .command('states')
    .description('list the TCP sockets of this network namespace, as netstat -antp does')
    .option('--state <name...>', 'only these states, spelled as in netstat')
    .option('--json', json)
    .action(keep(statesCommand));
  program.command('server').description("the article's server: closewait server <port>");
  program.command('client').description("the article's client: closewait client <IP> <port>");
  try {
    await program.parseAsync(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : USAGE;
  }
  return exitCode;
}

function explain(error: unknown): number {
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
      return 130;
    }
    const cannot = ['ERR_UNSUPPORTED_PLATFORM', 'ERR_ADDON_MISSING'];
    // What the kernel refuses to the lab itself, a full disk under stdout included, is no result of an experiment.
    if ('syscall' in error || cannot.includes(String(error.code))) {
      chatter(error.message);
      return CANNOT_RUN;
    }
  }
  throw error;
}

// A reader that has seen enough (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : explain(error));
});
process.exitCode = await main(process.argv.slice(2)).catch(explain);
