import { observers as all } from '../observer/observers.js';
import { formatJson } from '../report/json.js';
import { formatObservers } from '../report/observers.js';
import { AS_EXPECTED, type Io } from './command.js';
import { needProc } from './place.js';

/** `closewait observers` */
export function observers({ json }: { json?: true }, { out, paint }: Io): number {
  needProc();
  out(json ? formatJson(all()) : formatObservers(all(), paint));
  return AS_EXPECTED;
}
