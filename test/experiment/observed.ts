/** Runs of the article's scenario, altered, whose namespace is watched until it is gone. */
import { readdirSync, readlinkSync } from 'node:fs';
import type { DriverName } from '../../src/driver/role.js';
import type { Run } from '../../src/experiment/record.js';
import { run } from '../../src/experiment/run.js';
import { closeWait } from '../../src/scenario/close-wait.js';
import type { Scenario } from '../../src/scenario/scenario.js';
import * as sys from '../../src/syscall/sys.js';
import { until } from '../fixture/until.js';
import { keepersOf, namespacesOf } from './traces.js';

const [HOST] = namespacesOf(process.pid);

/** The article's scenario with another story, or other expectations. */
export const altered = (changes: Partial<Scenario>): Scenario => ({ ...closeWait, ...changes });

/**
 * Fills a capture's room from inside the run's namespace, with datagrams to `port`: while this loop runs, nobody takes
 * frames out.
 */
export async function flood(port = 0): Promise<void> {
  const host = readlinkSync('/proc/self/ns/net');
  const tasks = readdirSync('/proc/self/task').map((tid) => `/proc/self/task/${tid}/ns/net`);
  const inside = tasks.find((path) => readlinkSync(path) !== host) ?? '';
  using owned = new sys.Descriptors();
  const netns = owned.own(sys.open(inside, sys.O_RDONLY | sys.O_CLOEXEC));
  await using actor = await sys.Actor.start({ netns });
  const fd = owned.own(await actor.socket(sys.AF_INET, sys.SOCK_DGRAM | sys.SOCK_CLOEXEC));
  await actor.bind(fd, { address: '127.0.0.1', port });
  const to = sys.getsockname(fd);
  const large = new Uint8Array(60_000);
  for (let i = 0; i < 1000; i++) sys.sendto(fd, large, 0, to);
}

/** Runs the story in a namespace, and waits until that is gone. */
export async function observed(scenario: Scenario, driver: DriverName): Promise<Run> {
  let inside: string[] = [];
  const story: Scenario = {
    ...scenario,
    run: async (stage) => {
      inside = namespacesOf(process.pid).filter((name) => name !== HOST);
      await scenario.run(stage);
    },
  };
  const result = await run(story, { world: 'namespace', driver });
  if (inside.length === 0) throw new Error('no thread was seen in a namespace');
  await until(
    () => inside.every((name) => keepersOf(name).length === 0),
    () => `${inside} kept by ${inside.flatMap(keepersOf)}`,
  );
  return result;
}
