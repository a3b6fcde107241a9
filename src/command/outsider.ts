import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { End } from '../driver/role.js';
import type { Command } from '../driver/running.js';
import { Usage } from './command.js';
import { wordsOf } from './words.js';

/** The command line that acts an end. Throws Usage. */
export function commandOf(end: End, line: string): Command {
  let words: string[];
  try {
    words = wordsOf(line);
  } catch (error) {
    throw new Usage(`--${end} ${JSON.stringify(line)}: ${(error as Error).message}`);
  }
  const [program = ''] = words;
  if (!isProgram(program)) throw new Usage(`--${end}: there is no program ${program} to run`);
  return { end, words };
}

/** Whether execvp(3) would find it. */
export function isProgram(name: string): boolean {
  const folders = name.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter);
  return folders.some((folder) => {
    const path = folder === '' ? name : join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return statSync(path, { bigint: true }).isFile();
    } catch {
      return false;
    }
  });
}
