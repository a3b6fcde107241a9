import { Capture } from '../../src/observer/capture.js';
import { spin } from '../../src/observer/polling.js';
import * as sys from '../../src/syscall/sys.js';
import { type Arm, alternate, compare, control, type Figure, type Group } from './pair.js';
import { Reference } from './programs.js';

/** What watching costs: packets, one socket's state. */
export const capture: Group = { packets, polling };

/** Runs `load` under a capture, and fails unless the capture has all of it. */
function captured(load: Arm): Arm {
  return async (iterations) => {
    const limit = { frames: iterations * 100 };
    await using capture = await Capture.start(await sys.Actor.start(), 'lo', { limit });
    const ns = await load(iterations);
    await capture.flush();
    const { dropped, discarded, frames, via } = capture;
    const lives = frames.filter(({ segment }) => segment?.flags === 'S').length;
    if (via !== 'ring') throw new Error(`captured by ${via}`);
    if (dropped + discarded > 0) throw new Error(`${dropped} dropped, ${discarded} discarded`);
    // Others may use lo as well.
    if (lives < iterations) throw new Error(`${lives} handshakes of ${iterations} captured`);
    return ns;
  };
}

async function packets(rounds: number): Promise<Figure[]> {
  await using c = await Reference.start('lifecycle');
  await using twin = await Reference.start('lifecycle');
  const ns = await alternate({ c: c.run, captured: captured(c.run), twin: twin.run }, rounds);
  return [
    compare(
      { name: 'lifecycle.c, every packet captured', ns: ns.captured },
      { name: 'lifecycle.c', ns: ns.c },
      { atMost: 1.15 },
    ),
    control('lifecycle.c', ns.twin, ns.c),
  ];
}

/** A look at least this often. */
const LOOK_NS = 1500;

async function polling(rounds: number): Promise<Figure[]> {
  await using c = await Reference.start('tcpinfo');
  await using twin = await Reference.start('tcpinfo');
  // A socket of its own state: what is measured is the look, not the wait.
  const fd = sys.socket(sys.AF_INET, sys.SOCK_STREAM);
  const looks: Arm = (iterations) => {
    let [done, ns] = [0, 0];
    while (done < iterations) {
      const { looks, elapsedNs } = spin(fd, 'ESTABLISHED', 1);
      done += looks;
      ns += elapsedNs;
    }
    return (ns / done) * iterations;
  };
  try {
    const ns = await alternate({ c: c.run, looks, twin: twin.run }, rounds);
    const spinning = { name: 'a look of spin()', ns: ns.looks };
    return [
      compare(spinning, { name: '1.5 us', ns: ns.looks.map(() => LOOK_NS) }, { atMost: 1 }),
      compare(spinning, { name: 'tcpinfo.c', ns: ns.c }),
      control('tcpinfo.c', ns.twin, ns.c),
    ];
  } finally {
    sys.close(fd);
  }
}
