/** The exposition format, also as Prometheus's own tool reads it. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import { formatPrometheus } from '../../src/report/prometheus.js';
import { group, tick } from '../fixture/tick.js';
import { noTool, testUnless } from '../world/ability.js';

const LABELS =
  'process_pid="10",process_executable_name="app",network_transport="tcp",network_connection_state="close_wait",server_port="80",closewait_cause="not-closed"';

test('gauges, with the labels of OpenTelemetry', async (t) => {
  const { contentType, text } = await formatPrometheus(tick);
  t.is(contentType, 'text/plain; version=0.0.4; charset=utf-8');
  const lines = text.split('\n');
  t.true(lines.includes(`closewait_connections{${LABELS}} 7`), text);
  t.true(lines.includes(`closewait_connections_oldest_seconds{${LABELS}} 61`), text);
  t.regex(text, /^closewait_connections\{process_pid="",.*state="fin_wait_2",server_port="",/m);
  const process = 'process_pid="10",process_executable_name="app"';
  t.true(lines.includes(`closewait_process_open_fds{${process}} 24`), text);
  t.true(lines.includes(`closewait_process_max_fds{${process}} 1024`), text);
  t.true(lines.includes('closewait_leaks 6'), text);
  t.true(lines.includes('closewait_unattributed_connections 1'), text);
  t.true(lines.includes('closewait_incomplete 1'), text);
  t.true(lines.includes('# TYPE closewait_connections gauge'), text);
});

test('nothing to tell is zero leaks, and no series', async (t) => {
  const nothing = { ...tick, groups: [], processes: [], leaks: 0, unattributed: 0, incomplete: [] };
  const { text } = await formatPrometheus(nothing);
  t.regex(text, /^closewait_leaks 0$/m);
  t.notRegex(text, /^closewait_connections\{/m);
});

test('a name of any bytes, no limit, every state', async (t) => {
  const { text } = await formatPrometheus({
    ...tick,
    groups: (['CLOSE', 'CLOSING', 'FIN_WAIT1', 'LAST_ACK', 'UNKNOWN(99)'] as const).map(
      (state) => ({ ...group, comm: 'a"b\\c\nd', state }),
    ),
    processes: [{ ...tick.processes[0], maxFds: null } as (typeof tick.processes)[0]],
  });
  t.true(text.includes('process_executable_name="a\\"b\\\\c\\nd"'), text);
  for (const state of ['closed', 'closing', 'fin_wait_1', 'last_ack', 'unknown(99)']) {
    t.true(text.includes(`network_connection_state="${state}"`), state);
  }
  t.regex(text, /^closewait_process_max_fds\{.*\} \+Inf$/m);
});

testUnless(noTool('promtool'), 'promtool check metrics has nothing to say', async (t) => {
  for (const each of [tick, { ...tick, groups: [], processes: [] }]) {
    const { text } = await formatPrometheus(each);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
      ...{ input: text, encoding: 'utf8' },
    });
    t.is(stdout + stderr, '');
    t.is(status, 0);
  }
});
