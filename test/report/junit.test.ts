import { spawnSync } from 'node:child_process';
import test from 'ava';
import { formatJunit } from '../../src/report/junit.js';
import { noTool } from '../world/ability.js';
import { outcomes } from './outcomes.js';

/** Python's parser, which node-gyp has brought along: the tree as [tag, attributes, text, children]. */
const READ = `
import json, sys, xml.etree.ElementTree as tree
def of(e): return [e.tag, e.attrib, e.text, [of(c) for c in e]]
print(json.dumps(of(tree.fromstring(sys.stdin.buffer.read()))))`;

type Tree = [
  tag: string,
  attributes: Record<string, string>,
  text: string | null,
  children: Tree[],
];

function read(xml: string): Tree {
  const { status, stdout, stderr } = spawnSync('python3', ['-c', READ], {
    input: xml,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

const noPython = noTool('python3');
const reads = noPython === undefined ? test : test.skip;
const why = noPython === undefined ? '' : ` (${noPython})`;

reads(`a parser of XML reads counts, cases and reasons${why}`, (t) => {
  const [tag, counts, , [suite]] = read(formatJunit(outcomes, 4321));
  t.is(tag, 'testsuites');
  const expected = { tests: '4', failures: '1', errors: '1', skipped: '1', time: '4.321' };
  t.like(counts, expected);
  t.like(suite?.[1], expected);
  const cases = suite?.[3] ?? [];
  t.deepEqual(
    cases.map(([name, { classname, time }, , [inside]]) => [name, classname, time, inside?.[0]]),
    [
      ['testcase', 'closewait.raw.ipv4', '0.012', undefined],
      ['testcase', 'closewait.raw.ipv6', '0.012', 'failure'],
      ['testcase', 'closewait.program.ipv4', '0.012', 'error'],
      ['testcase', 'closewait.raw.ipv4', '0.012', 'skipped'],
    ],
  );
  const [, failure] = cases;
  const [, { message, type } = {}, text] = failure?.[3][0] ?? [];
  t.is(type, 'not-reproduced');
  t.is(message, 'the <echo> & "more": expected "a\\n" # not this\nsecond line \ufffd \ufffd');
  t.regex(text ?? '', /^\{"what":"the <echo> & \\"more\\"".*\}\nclient: SYN_SENT > .*\nserver: /);
  t.is(cases[3]?.[3][0]?.[1]['message'], 'this kernel has no IPv6 #\nreally');
});

reads(`no outcome: a suite without cases${why}`, (t) => {
  const [, counts, , [suite]] = read(formatJunit([], 0));
  t.is(counts['tests'], '0');
  t.deepEqual(suite?.[3], []);
});
