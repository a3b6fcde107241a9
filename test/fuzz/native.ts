/**
 * One way into an instrumented addon, fuzzed until libFuzzer ends the process; native.sh starts it, where nothing it does is
 * anybody's.
 *
 * usage: native.js ADDON CALL [LIBFUZZER ARGUMENTS], or native.js to list the calls. An input that it failed with is
 * a file; named among LIBFUZZER ARGUMENTS, it is run again.
 */
import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import type { Native } from '../../src/syscall/native.js';
import * as sys from '../../src/syscall/sys.js';
import { open } from '../syscall/junk-argument.js';
import { argumentsFor, calls, harmful, passGate } from './native-calls.js';
import { Input } from './native-input.js';

interface Fuzzed extends Native {
  fuzz(argv: readonly string[], run: (bytes: Uint8Array) => void): never;
}

const [file = '', name = '', ...argv] = process.argv.slice(2);
if (file === '') {
  process.stdout.write(`${Object.keys(calls).join('\n')}\n`);
  process.exit();
}
if (calls[name] === undefined) throw new RangeError(`no call that takes bytes is named ${name}`);

const module = { exports: {} };
process.dlopen(module, file, constants.dlopen.RTLD_NOW);
const addon = module.exports as Fuzzed;
const row = addon.calls.indexOf(name as keyof Native['gates']);

/** libFuzzer has a timer, whose signal ends calls. */
function insist(call: () => number): void {
  while (call() === -constants.errno.EINTR);
}

/** By an actor of its own, which has made the call when a second one, behind it, has been made. */
function submit(args: readonly unknown[], label: string): unknown {
  const results: number[] = [];
  const actor = new addon.Actor((_, result) => results.push(result));
  const [from = -1, to = -1] = sys.pipe2(sys.O_CLOEXEC);
  actor.start(label, -1);
  try {
    addon.submit(actor.handle, 1, row, ...args);
    addon.submit(actor.handle, 2, addon.calls.indexOf('write'), to, Uint8Array.of(1));
    insist(() => addon.read(from, new Uint8Array(1)));
  } finally {
    actor.stop();
  }
  return results[0];
}

function perform(input: Input): unknown {
  const way = input.byte() % 4;
  if (way === 3 && addon.gates[name as keyof Native['gates']] !== undefined)
    return passGate(addon, name, input);
  const args = argumentsFor(name, input);
  if (harmful(name, args)) return 0;
  if (way === 2) return submit(args, String(input.number()));
  return Reflect.apply(Reflect.get(addon, name) as (...args: unknown[]) => unknown, addon, args);
}

const refused = (error: unknown): boolean =>
  /^ERR_(INVALID_ARG_TYPE|OUT_OF_RANGE)$/.test(String(Reflect.get(error as Error, 'code')));

// What Node, the actors and libFuzzer open with their first turn is theirs.
let kept: Set<string> | undefined;

function closeOthers(): void {
  for (const fd of readdirSync('/proc/self/fd')) if (!kept?.has(fd)) addon.close(Number(fd));
}

addon.fuzz(argv, (bytes) => {
  kept ??= new Set(readdirSync('/proc/self/fd'));
  const input = new Input(bytes, open().fds);
  try {
    const result = perform(input);
    if (!Number.isSafeInteger(result)) throw new Error(`${name} returned ${String(result)}`);
    if (name === 'spawn' && Number(result) > 0)
      insist(() => addon.waitid(sys.P_PID, Number(result), new Uint8Array(128), sys.WEXITED));
  } catch (error) {
    if (!refused(error)) throw error;
  } finally {
    closeOthers();
  }
  input.check();
});
