import { createInterface } from 'node:readline';
import type { Command } from '../driver/running.js';
import type { Run, RunRecord } from '../experiment/record.js';
import { type RunOptions, run as runScenario } from '../experiment/run.js';
import { type Outcome, runSuite } from '../experiment/suite.js';
import { formatJson } from '../report/json.js';
import { formatJunit } from '../report/junit.js';
import { formatLadder } from '../report/ladder.js';
import { formatNdjson } from '../report/ndjson.js';
import { emptyTally, formatTally } from '../report/outcome.js';
import { formatTap } from '../report/tap.js';
import { formatLosses, formatRun, formatVerdict, type Paint } from '../report/terminal.js';
import { formatTransitions } from '../report/transitions.js';
import { Unseen } from '../report/unseen.js';
import { AS_EXPECTED, EXPECTATION_FAILED, type Io, interruption, Usage } from './command.js';
import { Leftovers } from './leftovers.js';
import { commandOf } from './outsider.js';
import { writeCapture } from './pcap.js';
import { again, bestWorld, needOwnProc } from './place.js';
import { isFile } from './scenario-file.js';
import {
  checkNames,
  chosen,
  jobsOf,
  type SelectionFlags,
  selectionOf,
  TIMEOUT_S,
  tasksOf,
  wholeNumber,
} from './selection.js';
import { type Format, Teller } from './teller.js';
import { Watchdog } from './watchdog.js';

export interface RunFlags extends SelectionFlags {
  readonly format?: string;
  readonly reporter?: string;
  readonly json?: true;
  readonly pcap?: string;
  readonly hostNetwork?: true;
  readonly pause?: true;
  readonly jobs?: string;
  readonly timeout?: string;
  readonly server?: string;
  readonly client?: string;
}

const FORMATS: Readonly<Record<string, Format>> = {
  story: (run, scenario, { paint }) => formatRun(run, scenario, paint),
  ladder: (run, _, { paint, columns }) =>
    `${formatLadder(run.record.events, { width: columns, paint })}\n${endOf(run, paint)}`,
  transitions: (run, _, { paint }) =>
    `${formatTransitions(run.record.events)}\n${endOf(run, paint)}`,
  ndjson: ({ record }) => formatNdjson(record.events),
};

const endOf = (run: Run, paint: Paint): string =>
  `${formatLosses(run, paint)}${formatVerdict(run, paint)}\n`;

/** What all runs make together, where that is a document. */
type Reporter = (outcomes: readonly Outcome[], wholeMs: number) => string;

const REPORTERS: Readonly<Record<string, Reporter>> = { tap: formatTap, junit: formatJunit };

/** `closewait run` */
export async function run(names: readonly string[], flags: RunFlags, io: Io): Promise<number> {
  const { pcap, hostNetwork, pause } = flags;
  const command = outsiderOf(flags);
  const format = formatOf(flags, names);
  const reporter = reporterOf(flags);
  const selection = selectionOf(command === undefined ? flags : { ...flags, driver: 'program' });
  const jobs = pause ? 1 : jobsOf(flags.jobs);
  const timeoutMs = pause
    ? undefined
    : wholeNumber('--timeout', flags.timeout ?? `${TIMEOUT_S}`) * 1000;
  checkNames(names);
  needOwnProc();
  if (!hostNetwork) {
    const exitCode = await again(io);
    if (exitCode !== undefined) return exitCode;
  }
  using leftovers = names.some(isFile) ? new Leftovers(io) : undefined;
  using _watchdog = leftovers && (await Watchdog.start(io, leftovers, timeoutMs));
  const scenarios = await chosen(names, selection);
  const tasks = tasksOf(scenarios, selection);
  const single = names.length === 1 && tasks.length === 1;
  if (!single && (flags.format ?? pcap) !== undefined) {
    throw new Usage(`${pcap === undefined ? '--format' : '--pcap'} is for one run of one scenario`);
  }
  const signal = interruption();
  leftovers?.begin();
  await using pauses = pause ? new Pauses(io, signal) : undefined;
  const options: Omit<RunOptions, 'driver' | 'family' | 'signal'> = {
    world: hostNetwork ? 'host' : await bestWorld(io),
    ...(pauses && { onMoment: pauses.at }),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(command !== undefined && { command }),
  };
  const began = performance.now();
  const tally = emptyTally();
  const outcomes: Outcome[] = [];
  const unseen = new Unseen();
  const teller = new Teller(tasks.length, tally, single ? format : undefined, io);
  const asDocument = reporter !== undefined || flags.json === true;
  await runSuite(tasks, {
    ...{ jobs, signal },
    run: ({ scenario, driver, family }, either) =>
      runScenario(scenario, { ...options, driver, family, signal: either }),
    onStart: (task) => teller.started(task),
    onEnd: (outcome, index) => {
      tally[outcome.run.record.verdict]++;
      unseen.add(outcome.run.record);
      if (asDocument || pcap !== undefined) {
        const whole = reporter === undefined || pcap !== undefined;
        outcomes[index] = whole ? outcome : withoutEvents(outcome);
      }
      if (!asDocument) teller.tell(outcome);
      teller.ended(outcome.task);
    },
  });
  io.status?.('');
  const wholeMs = performance.now() - began;
  if (reporter !== undefined) io.out(reporter(outcomes, wholeMs));
  else if (flags.json) {
    const records = outcomes.map((outcome) => outcome.run.record);
    io.out(formatJson(single ? records[0] : records));
  } else if (!single) io.out(`${formatTally(tally, wholeMs)}\n`);
  // A document has its observers, and a story says it where it begins.
  const isSaid = asDocument ? flags.json : single && format === FORMATS['story'];
  if (!isSaid) for (const line of unseen.lines) io.chatter(line);
  const [first] = outcomes;
  if (pcap !== undefined && first !== undefined) writeCapture(pcap, first.run, io);
  const clean = (await leftovers?.report()) ?? true;
  const failed = tally['not-reproduced'] + tally.inconclusive;
  return clean && failed === 0 ? AS_EXPECTED : EXPECTATION_FAILED;
}

/** The command that acts an end; undefined where none is to. */
function outsiderOf({ server, client, driver = 'program' }: RunFlags): Command | undefined {
  if (server === undefined && client === undefined) return undefined;
  if (driver !== 'program') throw new Usage(`a command acts by driver program, not by ${driver}`);
  if (server === undefined) return commandOf('client', client ?? '');
  if (client !== undefined) throw new Usage('one end is a command, the other is driven');
  return commandOf('server', server);
}

function formatOf(
  { format = 'story', json, pcap, ...flags }: RunFlags,
  names: readonly string[],
): Format {
  const found = Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
  if (found === undefined) {
    throw new Usage(`no format "${format}": it is ${Object.keys(FORMATS).join(', ')}`);
  }
  if (json && format !== 'story') throw new Usage('--json is a format of its own');
  if (flags.reporter !== undefined && (json || format !== 'story')) {
    throw new Usage('--reporter is a format of its own');
  }
  if (format !== 'story' && names.length !== 1) {
    throw new Usage('--format shows one scenario: name it');
  }
  if (pcap !== undefined && names.length !== 1) {
    throw new Usage('--pcap takes the capture of one scenario: name it');
  }
  if (pcap === '') throw new Usage('--pcap takes the name of a file, not ""');
  return found;
}

function reporterOf({ reporter }: RunFlags): Reporter | undefined {
  if (reporter === undefined || Object.hasOwn(REPORTERS, reporter))
    return REPORTERS[reporter ?? ''];
  throw new Usage(`no reporter "${reporter}": it is ${Object.keys(REPORTERS).join(' or ')}`);
}

/** What the documents of a reporter do without: of a thousand runs it would fill the memory. */
function withoutEvents(outcome: Outcome): Outcome {
  const record: RunRecord = { ...outcome.run.record, events: [], moments: [] };
  return { ...outcome, run: { record, frames: [] } };
}

/** Waits for Enter at each moment, so that one can look around with tools of one's own. */
class Pauses implements AsyncDisposable {
  readonly #input = createInterface({ input: process.stdin });
  readonly #lines = this.#input[Symbol.asyncIterator]();
  readonly #io: Io;
  readonly #signal: AbortSignal;

  constructor(io: Io, signal: AbortSignal) {
    this.#io = io;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#input.close());
  }

  at = async ({ name }: { readonly name: string }): Promise<void> => {
    this.#io.chatter(`${name}: look around, then press Enter`);
    await this.#lines.next();
    this.#signal.throwIfAborted();
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#input.close();
  }
}
