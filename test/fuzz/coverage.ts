/** Which code ran, told by V8's block coverage. */
import { Session } from 'node:inspector';

/** By module, which characters of its text ran. */
type Runs = Map<string, Uint8Array>;

/** The package's own modules, from when it was opened. */
export class Coverage implements Disposable {
  readonly #session = new Session();
  readonly #ran: Runs = new Map();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** What ran since the last time. */
  #take(): Runs {
    const runs: Runs = new Map();
    this.#session.post('Profiler.takePreciseCoverage', (error, taken) => {
      if (error !== null) throw error;
      for (const { url, functions } of taken.result) {
        const ranges = functions.flatMap((each) => each.ranges);
        if (!url.includes('/dist/src/') || ranges.length === 0) continue;
        const text = new Uint8Array(Math.max(...ranges.map(({ endOffset }) => endOffset)));
        // The outer ones come first, and those inside correct what they say.
        for (const { startOffset, endOffset, count } of ranges)
          text.fill(count > 0 ? 1 : 0, startOffset, endOffset);
        runs.set(url, text);
      }
    });
    return runs;
  }

  /** Forgets what ran until now: a module that is loaded runs from end to end. */
  forget(): void {
    this.#take();
  }

  /** Takes in what ran since the last time: the places that had never run before, `module:character`. */
  fresh(): Set<string> {
    const places = new Set<string>();
    for (const [url, text] of this.#take()) {
      const before = this.#ran.get(url) ?? new Uint8Array();
      const now = new Uint8Array(Math.max(before.length, text.length));
      now.set(before);
      for (const [at, runs] of text.entries()) {
        if (runs === 0 || now[at] === 1) continue;
        now[at] = 1;
        places.add(`${url}:${at}`);
      }
      this.#ran.set(url, now);
    }
    return places;
  }

  /** Takes from some places those that ran since the last time; says whether there were any. */
  strike(places: Set<string>): boolean {
    const before = places.size;
    const runs = this.#take();
    for (const place of places) {
      const colon = place.lastIndexOf(':');
      if (runs.get(place.slice(0, colon))?.[Number(place.slice(colon + 1))] === 1) {
        places.delete(place);
      }
    }
    return places.size < before;
  }

  /** How many characters of code have run, in how many modules. */
  get total(): { characters: number; modules: number } {
    const texts = [...this.#ran.values()].map((text) => text.reduce((sum, ran) => sum + ran, 0));
    return { characters: texts.reduce((sum, each) => sum + each, 0), modules: texts.length };
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }
}
