import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { DriverName } from '../driver/role.js';
import type { Run } from '../experiment/record.js';
import { type RunOptions, run as runScenario } from '../experiment/run.js';
import { frameComments } from '../report/comments.js';
import { formatJson } from '../report/json.js';
import { formatLadder } from '../report/ladder.js';
import { formatNdjson } from '../report/ndjson.js';
import { encodePcapng } from '../report/pcapng.js';
import { formatRun, formatVerdict } from '../report/terminal.js';
import { formatTransitions } from '../report/transitions.js';
import { catalogue } from '../scenario/catalogue.js';
import type { Scenario } from '../scenario/scenario.js';
import {
  AS_EXPECTED,
  CannotRun,
  EXPECTATION_FAILED,
  type Io,
  interruption,
  Usage,
} from './command.js';
import { again, bestWorld, needOwnProc } from './place.js';

export interface RunFlags {
  readonly driver?: string;
  readonly format?: string;
  readonly json?: true;
  readonly pcap?: string;
  readonly hostNetwork?: true;
  readonly pause?: true;
}

type Format = (run: Run, scenario: Scenario, io: Io) => string;

const FORMATS: Readonly<Record<string, Format>> = {
  story: (run, scenario, { paint }) => formatRun(run, scenario, paint),
  ladder: (run, _, { paint, columns }) =>
    `${formatLadder(run.record.events, { width: columns, paint })}\n${formatVerdict(run, paint)}\n`,
  transitions: (run, _, { paint }) =>
    `${formatTransitions(run.record.events)}\n${formatVerdict(run, paint)}\n`,
  ndjson: ({ record }) => formatNdjson(record.events),
};

const DRIVERS: readonly string[] = ['raw', 'program'] satisfies DriverName[];

/** `closewait run` */
export async function run(names: readonly string[], flags: RunFlags, io: Io): Promise<number> {
  const { format: formatName = 'story', json, pcap } = flags;
  const scenarios = names.map(scenarioNamed);
  const driver = driverNamed(flags.driver);
  const format = Object.hasOwn(FORMATS, formatName) ? FORMATS[formatName] : undefined;
  if (format === undefined) {
    throw new Usage(`no format "${formatName}": it is ${Object.keys(FORMATS).join(', ')}`);
  }
  if (json && flags.format !== undefined) throw new Usage('--json is a format of its own');
  if (flags.format !== undefined && names.length !== 1) {
    throw new Usage('--format shows one scenario: name it');
  }
  if (pcap !== undefined && names.length !== 1) {
    throw new Usage('--pcap takes the capture of one scenario: name it');
  }
  needOwnProc();
  if (!flags.hostNetwork) {
    const exitCode = await again(io);
    if (exitCode !== undefined) return exitCode;
  }
  const signal = interruption();
  await using pauses = flags.pause ? new Pauses(io, signal) : undefined;
  const options: RunOptions = {
    world: flags.hostNetwork ? 'host' : await bestWorld(io),
    signal,
    ...(pauses && { onMoment: pauses.at }),
    ...(driver !== undefined && { driver }),
  };
  const runs: Run[] = [];
  for (const scenario of names.length > 0 ? scenarios : catalogue) {
    const one = await runScenario(scenario, options);
    runs.push(one);
    if (json) continue;
    const whole = names.length === 1 && one.record.verdict !== 'skipped';
    io.out(whole ? format(one, scenario, io) : `${formatVerdict(one, io.paint)}\n`);
  }
  const [only] = runs;
  if (json) {
    const records = runs.map(({ record }) => record);
    io.out(formatJson(names.length === 1 ? records[0] : records));
  }
  if (pcap !== undefined && only !== undefined) writeCapture(pcap, only, io);
  return runs.every(({ record }) => record.ok) ? AS_EXPECTED : EXPECTATION_FAILED;
}

function scenarioNamed(name: string): Scenario {
  const scenario = catalogue.find((each) => each.name === name);
  if (scenario !== undefined) return scenario;
  throw new Usage(`no scenario "${name}"; \`closewait list\` shows them`);
}

function driverNamed(name: string | undefined): DriverName | undefined {
  if (name === undefined || DRIVERS.includes(name)) return name as DriverName | undefined;
  throw new Usage(`no driver "${name}": it is ${DRIVERS.join(' or ')}`);
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

/** Writes the connection's packets; each says beside itself what it did to both ends. */
function writeCapture(file: string, { frames, record }: Run, { chatter }: Io): void {
  const capture = record.observers.find(({ name }) => name === 'capture');
  if (capture?.available !== true) {
    throw new CannotRun(`${file} is not written: no capture: ${capture?.reason ?? record.reason}`);
  }
  const last = frames.at(-1);
  const bytes = encodePcapng(
    frameComments(frames, record.events).map(({ realtimeNs, bytes, comment }) => ({
      timeNs: realtimeNs,
      bytes,
      ...(comment !== undefined && { comment }),
    })),
    {
      linkType: 'ethernet',
      interfaceName: 'lo',
      interfaceComment: `${record.scenario}, driver ${record.driver}: ${record.verdict}`,
      application: 'closewait',
      os: `Linux ${record.kernel}`,
      ...(last && {
        statistics: {
          timeNs: last.realtimeNs,
          received: frames.length,
          dropped: capture.lost ?? 0,
        },
      }),
    },
  );
  try {
    writeFileSync(file, bytes);
  } catch (error) {
    throw new CannotRun(`${file} is not written: ${(error as Error).message}`);
  }
  chatter(`${frames.length} packets in ${file}`);
}
