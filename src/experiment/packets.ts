import { Capture, type Frame } from '../observer/capture.js';
import type { Endpoint } from '../tcp/address.js';
import { isInitialSyn } from '../tcp/segment.js';
import type { Host } from '../world/host.js';
import type { Feed } from './feed.js';
import type { CapturedFrame } from './record.js';
import type { Timeline } from './timeline.js';

/** How long no frame may come before the kernel is asked whether there is one. */
const FOLLOW_MS = 20;
/**
 * How much of a frame is kept: all of what one looks at. Whole ones, 64 KiB each where the interface cuts them up, fill the ring
 * while this process is not let run, and what is lost then is the end.
 */
const SNAPLEN = 2048;
/** Between a frame's time stamp and its place in the ring lies the kernel's receive queue, which a busy machine gets to late. */
const QUEUE_NS = 20_000_000n;

/** Where to capture. */
export interface Tap {
  readonly host: Host;
  readonly interfaceName: string;
  /** What it is called in this run. */
  readonly name: string;
  /** Whether the other end has a tap as well: here only what arrives has come, and what leaves may be lost on the way. */
  readonly arriving: boolean;
}

/** The packets of one interface, handed on to a timeline as they come. */
export class Packets implements AsyncDisposable {
  readonly capture: Capture;
  /** Called when the capture fails: the run proves nothing then. */
  onFailure: (error: Error) => void = () => {};
  readonly #timeline: Timeline;
  readonly #tap: Tap;
  readonly #feed: Feed;
  readonly #following: Promise<void>;
  #handedOn = 0;
  #ended = false;

  private constructor(capture: Capture, tap: Tap, timeline: Timeline) {
    this.capture = capture;
    this.#tap = tap;
    this.#timeline = timeline;
    this.#feed = timeline.open({
      ...{ name: 'capture', latenessNs: Number(capture.clockErrorNs), delivers: 'in-order' },
    });
    this.#following = this.#follow().catch((error: Error) => {
      this.onFailure(error);
      // Who waits must hear of it.
      this.#feed.fail(error);
    });
  }

  /** Starts to capture: everything, or the segments of one port. Throws what Capture.start throws. */
  static async start(tap: Tap, timeline: Timeline, port?: number): Promise<Packets> {
    const filter = port === undefined ? {} : { ports: [port] };
    const { host, interfaceName } = tap;
    const capture = await Capture.start(await host.actor('capture'), interfaceName, {
      filter,
      snaplen: SNAPLEN,
    });
    try {
      return new Packets(capture, tap, timeline);
    } catch (error) {
      // The run may have ended meanwhile, and its timeline with it.
      await capture.stop();
      throw error;
    }
  }

  async #follow(): Promise<void> {
    const { capture } = this;
    while (!this.#ended) {
      await capture.until(({ length }) => this.#ended || length > this.#handedOn, FOLLOW_MS);
      const askedNs = process.hrtime.bigint();
      await capture.flush();
      this.#handOn();
      this.#feed.lose(this.lost);
      this.#feed.advance(askedNs - QUEUE_NS);
      // Nothing waits on a capture that has ended: this loop would never let go of the thread.
      if (capture.ended && !this.#ended) throw new Error('the capture ended before the run');
    }
  }

  #handOn(): void {
    const { frames } = this.capture;
    for (; this.#handedOn < frames.length; this.#handedOn++) {
      const { segment, monotonicNs: tNs, outgoing } = frames[this.#handedOn] as Frame;
      if (segment === undefined) continue;
      if (!this.#tap.arriving) this.#feed.push({ kind: 'segment', tNs, segment });
      else if (outgoing) this.#feed.push({ kind: 'departure', tNs, segment });
      else this.#feed.push({ kind: 'segment', tNs, segment, seen: 'arriving' });
    }
  }

  /** Frames that nobody will see: the ring had no room for them, or so many are not kept. */
  get lost(): number {
    return this.capture.dropped + this.capture.discarded;
  }

  /** Who was the first to call an endpoint, from an address if one is given; undefined where nobody did. */
  caller(of: Endpoint, from?: string): Endpoint | undefined {
    for (const { segment } of this.capture.frames) {
      if (segment === undefined || !isInitialSyn(segment.flags)) continue;
      if (!isSame(segment.destination, of)) continue;
      if (from === undefined || segment.source.address === from) return segment.source;
    }
    return undefined;
  }

  /** The frames so far that went between two endpoints; at a tap for what arrives, those. */
  between(one: Endpoint | undefined, other: Endpoint | undefined): CapturedFrame[] {
    const frames: CapturedFrame[] = [];
    const { arriving, name: tap } = this.#tap;
    for (const frame of this.capture.frames) {
      const { realtimeNs, monotonicNs, bytes, wireLength, segment, outgoing } = frame;
      if (segment === undefined || (arriving && outgoing)) continue;
      const { source, destination } = segment;
      const ours =
        (isSame(source, one) && isSame(destination, other)) ||
        (isSame(source, other) && isSame(destination, one));
      if (!ours) continue;
      const tNs = Number(monotonicNs - this.#timeline.originNs);
      frames.push({ tap, realtimeNs, tNs, bytes, wireLength, segment });
    }
    return frames;
  }

  /** Hands on all there is, which is all up to `untilNs`, and ends. */
  async finish(untilNs: bigint): Promise<void> {
    this.#ended = true;
    await this.#following;
    if (!this.#feed.open) return;
    await this.capture.stop();
    this.#handOn();
    this.#feed.lose(this.lost);
    this.#feed.advance(untilNs);
  }

  /** Ends, and is off the timeline: what has not been handed on is dropped. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#feed.close();
    await this.capture[Symbol.asyncDispose]();
    await this.#following;
  }
}

function isSame(a: Endpoint, b: Endpoint | undefined): boolean {
  return a.port === b?.port && a.address === b.address;
}
