import { BpfIterator } from '../../src/observer/bpf-iterator.js';
import { whileHeld } from './floor.js';
import { alternate, compare, control, type Figure, type Group, timed } from './pair.js';
import { Reference } from './programs.js';

/** Very many sockets, told by a BPF program in the kernel. */
export const iterator: Group = { iterator: ofMany };

const HELD = 100_000;

async function ofMany(rounds: number): Promise<Figure[]> {
  return await whileHeld(HELD, async () => {
    await using c = await Reference.start('dump');
    await using twin = await Reference.start('dump');
    using ahead = BpfIterator.open();
    using plain = BpfIterator.open({ lookAhead: false });
    const seen = ahead.snapshot().length;
    if (seen < HELD) throw new Error(`the iterator told of ${seen} of ${HELD} sockets`);
    const arms = {
      c: c.run,
      ahead: timed(() => ahead.snapshot().length),
      plain: timed(() => plain.snapshot().length),
      twin: twin.run,
    };
    const ns = await alternate(arms, rounds);
    const dump = { name: 'dump.c', ns: ns.c };
    const name = `BpfIterator's snapshot() of ${seen} sockets`;
    return [
      compare({ name, ns: ns.ahead }, dump, { atMost: 0.75 }),
      compare({ name: 'without looking ahead', ns: ns.plain }, dump),
      control('dump.c', ns.twin, ns.c),
    ];
  });
}
