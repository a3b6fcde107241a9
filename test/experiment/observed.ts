/** Runs of the article's scenario, altered, whose namespace is watched until it is gone. */
import { readdirSync, readlinkSync } from 'node:fs';
import type { DriverName } from '../../src/driver/role.js';
import type { Run } from '../../src/experiment/record.js';
import { run } from '../../src/experiment/run.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import type { Scenario } from '../../src/scenario/scenario.js';
import * as sys from '../../src/syscall/sys.js';
import { until } from '../fixture/until.js';
import { HeldNamespaces, link } from './traces.js';

/** The article's scenario with another story, or other expectations. */
export const altered = (changes: Partial<Scenario>): Scenario => ({ ...closeWait, ...changes });

/** Starts an actor in the namespace of the run that is under way. */
async function inside(owned: sys.Descriptors): Promise<sys.Actor> {
  const others = ['', readlinkSync('/proc/self/ns/net')];
  const tasks = readdirSync('/proc/self/task').map((tid) => `/proc/self/task/${tid}/ns/net`);
  // A thread that has ended may be listed for a moment.
  const namespace = tasks.find((path) => !others.includes(link(path))) ?? '';
  const netns = owned.own(sys.open(namespace, sys.O_RDONLY | sys.O_CLOEXEC));
  return await sys.Actor.start({ netns });
}

/** Takes the loopback interface of the run's namespace down. */
export async function loopbackDown(): Promise<void> {
  using owned = new sys.Descriptors();
  await using actor = await inside(owned);
  const ifreq = new Uint8Array(40);
  ifreq.set(new TextEncoder().encode('lo'));
  const fd = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
  await actor.ioctl(fd, sys.SIOCSIFFLAGS, ifreq);
}

/**
 * Fills a capture's room from inside the run's namespace, with datagrams to `port`: while this loop runs, nobody takes
 * frames out.
 */
export async function flood(port = 0): Promise<void> {
  using owned = new sys.Descriptors();
  await using actor = await inside(owned);
  const fd = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
  await actor.bind(fd, { address: '127.0.0.1', port });
  const to = sys.getsockname(fd);
  const datagram = new Uint8Array(2000);
  for (let i = 0; i < 10_000; i++) sys.sendto(fd, datagram, 0, to);
}

/** Runs the story in a namespace, and waits until that is gone. */
export async function observed(scenario: Scenario, driver: DriverName): Promise<Run> {
  using namespaces = new HeldNamespaces();
  const story: Scenario = {
    ...scenario,
    run: async (stage) => {
      namespaces.hold(process.pid);
      await scenario.run(stage);
    },
  };
  const result = await run(story, { world: 'namespace', driver });
  if (namespaces.names.length === 0) throw new Error('no thread was seen in a namespace');
  await until(
    () => namespaces.kept.length === 0,
    () => namespaces.kept.join(', '),
  );
  return result;
}
