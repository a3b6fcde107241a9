import { bpfSample } from '../tcp/ring.js';
import type { TracepointFormat } from '../tcp/tracepoint.js';
import { Assembler } from './bpf-assembler.js';
import { keepThreads, type ProgramContext, reserve, submit } from './bpf-program.js';
import type { CallTypes } from './bpf-types.js';

/**
 * The program of `raw_syscalls:sys_enter` or `sys_exit`, for where they can be had by their arguments, the registers and the
 * call's number or result: writes the record that the kernel would have written.
 *
 * r6 is the registers, r7 no namespace, r9 the sample; [r10 - 16] is the context.
 */
export function callProgram(
  format: TracepointFormat,
  context: ProgramContext & { readonly types: CallTypes },
): Uint8Array {
  const { types, threads } = context;
  const program = new Assembler();
  program.store(8, 'r10', -16, 'r1').move('r7', 0);
  if (threads !== undefined) keepThreads(program, threads);
  reserve(program, format, context);
  const place = (name: string): number =>
    bpfSample.record + (format.fields.get(name)?.offset ?? bpfSample.record);
  program.load('r1', 8, 'r10', -16).load('r6', 8, 'r1', 0).load('r1', 8, 'r1', 8);
  if (format.fields.has('args')) {
    program.store(8, 'r9', place('id'), 'r1');
    for (const [i, offset] of types.args.entries()) {
      program.load('r1', 8, 'r6', offset).store(8, 'r9', place('args') + 8 * i, 'r1');
    }
  } else {
    program.store(8, 'r9', place('ret'), 'r1').load('r1', types.numberSize, 'r6', types.number);
    if (types.numberSize === 4) program.shiftLeft('r1', 32).shiftRightSigned('r1', 32);
    program.store(8, 'r9', place('id'), 'r1');
  }
  return submit(program, context, 0);
}
