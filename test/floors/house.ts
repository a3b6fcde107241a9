/** What the house rules say of a tree of source files, as a function of their text: no I/O here. */

/** Source text by path, such as `src/tcp/info.ts`. */
export type Tree = ReadonlyMap<string, string>;

type Room = keyof typeof mayImport;
type Right = 'yes' | 'types';

/** Who may import whom; a room that is not named may not be imported. */
export const mayImport = {
  tcp: { tcp: 'yes' },
  syscall: { syscall: 'yes' },
  world: { tcp: 'yes', syscall: 'yes', world: 'yes' },
  driver: { tcp: 'yes', syscall: 'yes', world: 'yes', driver: 'yes' },
  observer: { tcp: 'yes', syscall: 'yes', observer: 'yes' },
  scenario: { tcp: 'yes', world: 'types', driver: 'types', scenario: 'yes' },
  experiment: {
    tcp: 'yes',
    world: 'yes',
    driver: 'yes',
    observer: 'yes',
    scenario: 'yes',
    experiment: 'yes',
    report: 'types',
  },
  diagnose: { tcp: 'yes', syscall: 'yes', observer: 'yes', diagnose: 'yes', report: 'types' },
  report: {
    tcp: 'yes',
    observer: 'types',
    scenario: 'types',
    experiment: 'types',
    diagnose: 'types',
    report: 'yes',
  },
  command: {
    tcp: 'yes',
    syscall: 'yes',
    world: 'yes',
    driver: 'yes',
    observer: 'yes',
    scenario: 'yes',
    experiment: 'yes',
    diagnose: 'yes',
    report: 'yes',
    command: 'yes',
  },
} as const satisfies Record<string, Record<string, Right>>;

/** One import, export-from or import() of a file. */
export interface Import {
  readonly from: string;
  /** Gone after compilation: `import type`, or nothing but `type` names in the braces. */
  readonly typeOnly: boolean;
}

// A statement begins its line, which the formatter sees to; so text in comments and strings is no import.
const STATEMENT = new RegExp(
  `^(?:import\\b(?<imported>[^'";=()]*?)(?:\\bfrom\\s*)?` +
    `|export\\b(?<exported>\\s*(?:type\\s*)?(?:\\*[^'";=(){}]*|\\{[^'";=(){}]*\\}\\s*))\\bfrom\\s*)` +
    `(?<quote>['"])(?<from>[^'"\\n]+)\\k<quote>`,
  'gm',
);
const DYNAMIC = /\bimport\s*\(\s*(?:(['"])(?<from>[^'"\n]+)\1)?/g;

export function importsOf(source: string): Import[] {
  const imports: Import[] = [];
  const code = withoutComments(source);
  for (const { groups } of code.matchAll(STATEMENT)) {
    const { imported, exported, from = '' } = groups ?? {};
    const what = imported ?? exported ?? '';
    const names = /\{(?<names>[\s\S]*)\}/.exec(what)?.groups?.['names'];
    const listed =
      names
        ?.split(',')
        .map((name) => name.trim())
        .filter(Boolean) ?? [];
    const braces = /^\s*\{/.test(what) && listed.length > 0;
    const typeOnly =
      /^\s*type\s+[^\s,]/.test(what) ||
      (braces && listed.every((name) => name.startsWith('type ')));
    imports.push({ from, typeOnly });
  }
  for (const { groups } of code.matchAll(DYNAMIC)) {
    imports.push({ from: groups?.['from'] ?? '(computed)', typeOnly: false });
  }
  return imports;
}

const TOKEN =
  /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`/g;

/** Source without its comments; strings stay. */
function withoutComments(source: string): string {
  return source.replace(TOKEN, (token) => (token.startsWith('/') ? '' : token));
}

/** Source without comments and without the text of its strings. */
export function codeOf(source: string): string {
  return source.replace(TOKEN, (token) => (token.startsWith('/') ? '' : "''"));
}

const roomOf = (path: string): string => /^src\/([^/]+)\//.exec(path)?.[1] ?? '';

function resolved(path: string, from: string): string {
  const parts = path.split('/').slice(0, -1);
  for (const part of from.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/').replace(/\.js$/, '.ts');
}

/** Every import that the table does not allow. */
export function wrongImports(tree: Tree): string[] {
  const wrong: string[] = [];
  for (const [path, source] of tree) {
    const room = roomOf(path);
    if (!path.startsWith('src/')) continue;
    if (room !== '' && !Object.hasOwn(mayImport, room)) {
      wrong.push(`${path}: there is no room ${room}`);
      continue;
    }
    for (const { from, typeOnly } of importsOf(source)) {
      const reason = whyNot(path, room, from, typeOnly, tree);
      if (reason !== undefined) wrong.push(`${path} -> ${from}: ${reason}`);
    }
  }
  return wrong;
}

function whyNot(
  path: string,
  room: string,
  from: string,
  typeOnly: boolean,
  tree: Tree,
): string | undefined {
  if (/^closewait(?:\/|$)/.test(from)) return 'the package may not import itself by its name';
  if (!from.startsWith('.')) {
    return room === 'tcp' ? 'tcp/ is pure: it imports nothing but itself' : undefined;
  }
  const target = resolved(path, from);
  if (!tree.has(target)) return 'there is no such file';
  const other = roomOf(target);
  if (target === 'src/syscall/native.ts' && room !== 'syscall') return 'native.ts is for syscall/';
  // The doors may open onto every room; no room opens onto a door.
  if (room === '') return undefined;
  if (other === '') return 'a room may not import a door';
  const rights: Partial<Record<string, Right>> = mayImport[room as Room];
  const right = rights[other];
  if (right === undefined) return `${room}/ may not import ${other}/`;
  if (right === 'types' && !typeOnly) return `${room}/ may import only types of ${other}/`;
  return undefined;
}

/** Every cycle of imports that are there at run time, each once, from its first file by name. */
export function cycles(tree: Tree): string[] {
  const found = new Set<string>();
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) {
      const loop = trail.slice(start);
      const first = loop.indexOf([...loop].sort()[0] ?? '');
      found.add([...loop.slice(first), ...loop.slice(0, first), loop[first]].join(' -> '));
      return;
    }
    if (done.has(path)) return;
    for (const { from, typeOnly } of importsOf(tree.get(path) ?? '')) {
      if (from.startsWith('.') && !typeOnly) visit(resolved(path, from), [...trail, path]);
    }
    done.add(path);
  };
  for (const path of tree.keys()) visit(path, []);
  return [...found];
}

/** Every use of what only the command line may do. */
export function loudFiles(tree: Tree): string[] {
  return [...tree].flatMap(([path, source]) => {
    if (!path.startsWith('src/') || path === 'src/cli.ts') return [];
    const code = codeOf(source);
    const uses = [
      /\bconsole\b/,
      /\bprocess\s*(?:\?\.|\.)\s*(?:exit|reallyExit|abort)\b/,
      /\bprocess\s*(?:\?\.\s*)?\[/,
      /\{[^{}]*\b(?:exit|reallyExit|abort)\b[^{}]*\}\s*=\s*process\b/,
    ];
    const used = uses.flatMap((use) => use.exec(code)?.[0] ?? []);
    const imported = importsOf(source)
      .filter(({ from, typeOnly }) => /^(?:node:)?(?:process|console)$/.test(from) && !typeOnly)
      .map(({ from }) => from);
    return [...used, ...imported].map((what) => `${path}: ${what}`);
  });
}

/** Names that say nothing, and index files that hide who imports whom. */
export function badNames(paths: Iterable<string>): string[] {
  return [...paths].filter(
    (path) =>
      /(^|\/)(utils?|helpers?|misc|common)(\/|\.)/i.test(path) ||
      (/\/index\.[cm]?[jt]s$/.test(path) && path !== 'src/index.ts'),
  );
}

/** Files longer than 400 lines that have no reason to be. */
export function tooLong(tree: Tree, reasons: ReadonlyMap<string, string>): string[] {
  return [...tree].flatMap(([path, source]) => {
    const lines = source.split('\n').length - 1;
    return lines > 400 && !reasons.has(path) ? [`${path}: ${lines} lines`] : [];
  });
}

/** What native code may not say where it is. */
export function nativeFaults(tree: Tree): string[] {
  const rules: [where: RegExp, never: RegExp, why: string][] = [
    [
      /^native\/os\//,
      /#include\s*[<"][^>"]*\b(?:napi|node_api|js_native_api|node|v8|uv)\b/,
      'knows no JavaScript',
    ],
    [/^native\/os\//, /#include\s*"[^"]*glue\//, 'is below glue'],
    [
      /^native\/reference\//,
      /#include\s*[<"][^>"]*\b(?:napi|node_api|node|v8|uv)\b/,
      'has no Node in it',
    ],
    [
      /^native\/glue\/(?!throw\.cc)/,
      /\bnapi_throw|ThrowAsJavaScriptException|Error::New/,
      'throws in throw.cc only',
    ],
    [/^native\/glue\//, /\bsyscall\s*\(|#include\s*<sys\/syscall\.h>/, 'makes no system call'],
  ];
  return [...tree].flatMap(([path, source]) =>
    rules.flatMap(([where, never, why]) => {
      const match = where.test(path) ? never.exec(withoutComments(source)) : null;
      return match === null ? [] : [`${path} ${why}: ${match[0]}`];
    }),
  );
}
