import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { scratch } from '../driver/programs.js';
import { CLI, type Finished, finished, PACKAGE } from './closewait.js';

/** What the scenarios of the tests have in common: the story is what differs. */
export const HEAD = `
import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { World } from 'closewait/lab';
import * as sys from 'closewait/syscall';
const title = 'a title';
const path = { client: ['SYN_SENT', 'ESTABLISHED'], server: ['SYN_RECV', 'ESTABLISHED'] };
const scenario = (name, story) => ({
  ...{ name, title, source: 'tcp(7)', summary: 'A summary.', path },
  async run(stage) {
    await stage.client.connect(await stage.server.listen());
    await stage.server.accept();
    await story(stage);
  },
});
`;

/** Writes a file where \`closewait\` means this package, and runs it. */
export function runFile(
  t: ExecutionContext,
  name: string,
  text: string,
  ...args: string[]
): Finished {
  return commandOnFile(t, 'run', name, text, ...args);
}

export function commandOnFile(
  t: ExecutionContext,
  command: string,
  name: string,
  text: string,
  ...args: string[]
): Finished {
  const folder = scratch(t);
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(PACKAGE, join(folder, 'node_modules', 'closewait'));
  writeFileSync(join(folder, name), text);
  return finished([process.execPath, CLI, command, join(folder, name), ...args], { cwd: folder });
}
