import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { PACKAGE } from '../cli/closewait.js';
import { output, pack, project } from './consumer.js';

const directory = mkdtempSync(join(tmpdir(), 'closewait-package-'));
test.after.always(() => rmSync(directory, { recursive: true, force: true }));

const bin = (name: string): string => join(PACKAGE, 'node_modules/.bin', name);

let tarball = '';
test.before(async () => {
  tarball = await pack(directory, process.arch);
});

const PROGRAM = `
  import { type Cause, type Endpoint, snapshot, type SocketTable, tcpInfo, type TcpState } from 'closewait';
  import { guardEach, SocketLeakError } from 'closewait/guard';
  import { type ClientRole, Network, type NodeServerSide, run, type RunRecord } from 'closewait/lab';
  import 'closewait/register';
  import type { Scenario } from 'closewait/scenario';
  import * as sys from 'closewait/syscall';

  const fd: number = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  const { port }: Endpoint = sys.getsockname(fd);
  const accepted = async (actor: sys.Actor): Promise<number> => (await actor.accept(fd, {})).fd;
  const state: TcpState = tcpInfo(fd).state;
  const table: SocketTable = snapshot({ states: ['LISTEN'] });
  // @ts-expect-error: there is no such call
  sys.connectt(fd);
  // @ts-expect-error: an address is not text
  sys.bind(fd, '127.0.0.1');
  const recorded = async (scenario: Scenario): Promise<RunRecord> =>
    (await run(scenario, { driver: 'raw', world: 'namespace' })).record;
  const mine: Cause = 'not-closed';
  const halfOpen = (node: NodeServerSide) => node.listen({ allowHalfOpen: true });
  const leave = (client: ClientRole): Promise<void> => client.close();
  export { accepted, guardEach, halfOpen, leave, mine, Network, port, recorded, SocketLeakError, state, table };
`;

const consumers = [
  { compiler: 'tsc', title: 'of Node', module: 'nodenext', types: ['node'], lib: ['es2023'] },
  {
    compiler: 'tsc',
    title: 'without the types of Node',
    module: 'nodenext',
    types: [],
    lib: ['esnext', 'dom'],
  },
  { compiler: 'tsc6', title: 'of a bundler', module: 'preserve', types: ['node'], lib: ['es2023'] },
];

for (const { compiler, title, ...options } of consumers) {
  test(`a strict project ${title} compiles against its declarations: ${compiler}`, async (t) => {
    const cwd = project(directory);
    await output(['tar', '-xzf', tarball], { cwd });
    symlinkSync(join(cwd, 'package'), join(cwd, 'node_modules/closewait'));
    symlinkSync(join(PACKAGE, 'node_modules/@types'), join(cwd, 'node_modules/@types'));
    const compilerOptions = {
      ...options,
      target: 'es2023',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    };
    writeFileSync(join(cwd, 'package.json'), '{ "type": "module" }');
    writeFileSync(
      join(cwd, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['program.ts'] }),
    );
    writeFileSync(join(cwd, 'program.ts'), PROGRAM);
    await t.notThrowsAsync(output([bin(compiler), '-p', cwd]));
  });
}

test('publint finds nothing', async (t) => {
  t.regex(await output([bin('publint'), '--strict', tarball]), /All good!/);
});

test('the types are not wrong, for those who import', async (t) => {
  // It is ESM only: what a require() or TypeScript's resolution of before Node 12 would find is not asked.
  const found = await output([bin('attw'), '--profile', 'esm-only', '--format', 'json', tarball]);
  const { analysis } = JSON.parse(found) as {
    analysis: { types: unknown; entrypoints: Record<string, unknown> };
  };
  t.truthy(analysis.types);
  const entrances = Object.keys(analysis.entrypoints);
  t.true(
    ['.', './syscall'].every((door) => entrances.includes(door)),
    entrances.join(),
  );
});
