// Build step: which names to ask the compiler for. Writes constants.inc, enumerators.inc,
// kernel_enumerators.inc, errnos.inc and syscalls.inc into the directory given, as rows {"NAME", NAME};
// the values are the headers'.
//
// usage: node constants.mjs OUTDIR CONSTANTS.TS

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [outdir, source] = process.argv.slice(2);
mkdirSync(outdir, { recursive: true });

const write = (file, rows) => writeFileSync(join(outdir, file), `${rows.join('\n')}\n`);

const wanted = [
  ...readFileSync(source, 'utf8').matchAll(
    /^export const (\w+): number = (macro|enumerator|kernelEnumerator)\b/gm,
  ),
];
const row = (name) => `{"${name}", static_cast<long long>(${name})},`;
// An enumerator is invisible to the preprocessor; those asked for are in every header since 4.19.
const rows = (kind, show) => wanted.filter((m) => m[2] === kind).map((m) => show(m[1]));
write(
  'constants.inc',
  rows('macro', (name) => `#ifdef ${name}\n${row(name)}\n#endif`),
);
write('enumerators.inc', rows('enumerator', row));
write('kernel_enumerators.inc', rows('kernelEnumerator', row));

// Which errno and system-call names exist is a fact of the target's headers: ask its preprocessor.
const [compiler, ...flags] = (process.env.CXX || 'c++').split(' ');
const macros = execFileSync(compiler, [...flags, '-dM', '-E', '-x', 'c++', '-'], {
  input: '#include <errno.h>\n#include <sys/syscall.h>\n',
  encoding: 'utf8',
  maxBuffer: 1 << 26,
});
const names = [...macros.matchAll(/^#define (\w+) /gm)].map((m) => m[1]);
// EWOULDBLOCK, EDEADLOCK and ENOTSUP are second names: the first name is the one errors carry.
const alias = new Set(['EWOULDBLOCK', 'EDEADLOCK', 'ENOTSUP']);
write(
  'errnos.inc',
  names.filter((n) => /^E[A-Z0-9]+$/.test(n) && !alias.has(n)).map((n) => `{"${n}", ${n}},`),
);
write(
  'syscalls.inc',
  names.filter((n) => n.startsWith('SYS_')).map((n) => `{"${n.slice(4)}", ${n}},`),
);
