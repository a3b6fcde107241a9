import { Gauge, Registry } from 'prom-client';
import type { Tick } from '../diagnose/watch-record.js';
import type { TcpState } from '../tcp/states.js';

/** OpenTelemetry's names of the states (semantic conventions, `network.connection.state`). */
const stateLabels: Readonly<Partial<Record<TcpState, string>>> = {
  CLOSE: 'closed',
  CLOSE_WAIT: 'close_wait',
  CLOSING: 'closing',
  FIN_WAIT1: 'fin_wait_1',
  FIN_WAIT2: 'fin_wait_2',
  LAST_ACK: 'last_ack',
};

const PROCESS = ['process_pid', 'process_executable_name'] as const;

/** What Prometheus asks for: the text, and the type it has. */
export interface Exposition {
  readonly contentType: string;
  readonly text: string;
}

/**
 * Formats a look as Prometheus reads it. Labels are OpenTelemetry's attributes, dots as underscores: network.connection.state,
 * network.transport, process.pid, process.executable.name, server.port; and closewait_cause.
 */
export async function formatPrometheus(tick: Tick): Promise<Exposition> {
  const registry = new Registry();
  const gauge = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });

  const sockets = gauge(
    'closewait_connections',
    'TCP sockets that stay although their connection is over or half over.',
    [...PROCESS, 'network_transport', 'network_connection_state', 'server_port', 'closewait_cause'],
  );
  const oldest = gauge(
    'closewait_connections_oldest_seconds',
    'For how long the oldest of them has been seen.',
    [...PROCESS, 'network_transport', 'network_connection_state', 'server_port', 'closewait_cause'],
  );
  for (const { pid, comm, state, cause, listener, ...group } of tick.groups) {
    const labels = {
      process_pid: pid ?? '',
      process_executable_name: comm ?? '',
      network_transport: 'tcp',
      network_connection_state: stateLabels[state] ?? state.toLowerCase(),
      server_port: listener ?? '',
      closewait_cause: cause,
    };
    sockets.set(labels, group.sockets);
    oldest.set(labels, group.oldestMs / 1000);
  }

  const open = gauge('closewait_process_open_fds', 'Open descriptors of the process.', PROCESS);
  const max = gauge('closewait_process_max_fds', 'Its soft RLIMIT_NOFILE.', PROCESS);
  for (const { pid, comm, openFds, maxFds } of tick.processes) {
    const labels = { process_pid: pid, process_executable_name: comm };
    open.set(labels, openFds);
    max.set(labels, maxFds ?? Number.POSITIVE_INFINITY);
  }

  gauge('closewait_leaks', 'Sockets that somebody has to close.', []).set(tick.leaks);
  gauge('closewait_unattributed_connections', 'Sockets whose process is not known yet.', []).set(
    tick.unattributed,
  );
  gauge('closewait_incomplete', 'Reasons why sockets or owners may be missing.', []).set(
    tick.incomplete.length,
  );
  return { contentType: registry.contentType, text: await registry.metrics() };
}
