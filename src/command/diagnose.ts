import { diagnose as find } from '../diagnose/diagnose.js';
import { type DiagnoseFlags, optionsFrom } from '../diagnose/options.js';
import { formatDiagnosis } from '../report/diagnose.js';
import { formatJsonInPieces } from '../report/json.js';
import {
  AS_EXPECTED,
  CANNOT_RUN,
  EXPECTATION_FAILED,
  type Io,
  interruption,
  Usage,
} from './command.js';
import { needProc } from './place.js';

/** `closewait diagnose` */
export async function diagnose(flags: DiagnoseFlags, { out, chatter, paint }: Io): Promise<number> {
  const options = optionsFrom(flags);
  if (typeof options === 'string') throw new Usage(options);
  needProc();
  if (options.stacks) {
    const { stackPlan } = await import('../diagnose/stacks.js');
    for (const line of stackPlan(options)) chatter(line);
  }
  const diagnosis = await find({ ...options, signal: interruption() });
  if (flags.json) for (const piece of formatJsonInPieces(diagnosis)) out(piece);
  else out(formatDiagnosis(diagnosis, paint));
  if (diagnosis.counts.leaks > 0) return EXPECTATION_FAILED;
  if (diagnosis.sufficient) return AS_EXPECTED;
  for (const reason of diagnosis.incomplete) chatter(`not seen: ${reason}`);
  return CANNOT_RUN;
}
