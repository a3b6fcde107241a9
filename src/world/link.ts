import { checkMs, outOfRange, shown } from '../tcp/argument.js';
import { decodeFrame, type Segment } from '../tcp/segment.js';
import { type End, type Fault, type Match, Rule } from './fault.js';
import type { Namespace } from './namespace.js';
import { PacketPort } from './packet-port.js';

/** What is done with a frame that a rule means. */
type Act = (way: Way, frame: Uint8Array) => void;

/** One direction of the link. */
interface Way {
  readonly from: End;
  readonly out: PacketPort;
  /** Frames that wait for the link to go on; undefined while it is going. */
  waiting: Uint8Array[] | undefined;
  /** Frames that wait to be overtaken. */
  overtaken: Uint8Array[];
  cut: boolean;
}

/**
 * The wire between two hosts, in our hands: every frame passes through this process, which may lose it, delay it, send it
 * twice or out of order, or hold all of them. What is not TCP passes as it is, but for a pause or a cut.
 *
 * Each segment is shown to every fault that has been set; the first that means it decides. A frame costs an
 * actor's wake-up and a turn of the event loop: a blocked event loop is a stopped link.
 */
export class Link implements AsyncDisposable {
  readonly #ports: Record<End, PacketPort>;
  readonly #ways: Record<End, Way>;
  readonly #rules = new Map<Rule, Act | undefined>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #ended: Error | undefined;

  private constructor(client: PacketPort, server: PacketPort) {
    this.#ports = { client, server };
    const way = (from: End, out: PacketPort): Way => ({
      from,
      out,
      waiting: undefined,
      overtaken: [],
      cut: false,
    });
    this.#ways = { client: way('client', server), server: way('server', client) };
    for (const from of ['client', 'server'] as const) {
      const arrived = this.#ways[from];
      this.#ports[from].start(
        (frame) => this.#arrive(arrived, frame),
        (error) => this.#fail(error),
      );
    }
  }

  /** Opens the link between interfaces `client` and `server` of a namespace that has nothing else to do. Throws SyscallError. */
  static async open(namespace: Namespace): Promise<Link> {
    const client = await PacketPort.open(await namespace.actor('link client'), 'client');
    try {
      return new Link(
        client,
        await PacketPort.open(await namespace.actor('link server'), 'server'),
      );
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Loses segments. */
  drop(match: Match = {}): Fault {
    return this.#set(match, () => {});
  }

  /** Holds segments for a while; those behind them are not held, and may overtake. */
  delay(match: Match, ms: number): Fault {
    checkMs('ms', ms);
    return this.#set(match, (way, frame) => {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        this.#pass(way, frame);
      }, ms);
      this.#timers.add(timer);
    });
  }

  /** Sends segments twice. */
  duplicate(match: Match = {}): Fault {
    return this.#set(match, (way, frame) => {
      this.#pass(way, frame);
      this.#pass(way, frame);
    });
  }

  /** Holds segments until the next frame of the same direction has passed; that may be a retransmission of the same. */
  reorder(match: Match = {}): Fault {
    return this.#set(match, (way, frame) => way.overtaken.push(frame));
  }

  /** Lets segments pass and tells of them: what happens in a pause can be waited for. */
  watch(match: Match = {}): Fault {
    return this.#set(match, undefined);
  }

  /** Stops the world: frames of one direction, or of both, arrive, meet the faults that are set, and wait. */
  pause(from?: End): void {
    for (const way of this.#waysFrom(from)) way.waiting ??= [];
  }

  /** Sends what waits, in order, and goes on. */
  resume(from?: End): void {
    for (const way of this.#waysFrom(from)) {
      const { waiting = [] } = way;
      way.waiting = undefined;
      for (const frame of waiting) this.#pass(way, frame);
    }
  }

  /** Loses whatever would pass, not only TCP, in one direction or in both. Faults still meet what arrives. */
  cut(from?: End): void {
    for (const way of this.#waysFrom(from)) way.cut = true;
  }

  /** Joins what was cut. */
  mend(from?: End): void {
    for (const way of this.#waysFrom(from)) way.cut = false;
  }

  /** Frames that wait in a pause, to be overtaken, or until their delay is over. */
  get held(): number {
    const { client, server } = this.#ways;
    const held = [client, server].map(
      ({ waiting = [], overtaken }) => waiting.length + overtaken.length,
    );
    return held.reduce((sum, count) => sum + count, this.#timers.size);
  }

  /** Frames that were lost without being asked for: a queue was full, or a frame too long. */
  get lost(): number {
    return this.#ports.client.lost + this.#ports.server.lost;
  }

  #waysFrom(from: End | undefined): Way[] {
    this.#check();
    if (from === undefined) return [this.#ways.client, this.#ways.server];
    if (from !== 'client' && from !== 'server') {
      throw outOfRange(`from must be client or server, received ${shown(from)}`);
    }
    return [this.#ways[from]];
  }

  #set(match: Match, act: Act | undefined): Fault {
    this.#check();
    const rule = new Rule(match, () => this.#rules.delete(rule));
    this.#rules.set(rule, act);
    return rule;
  }

  #check(): void {
    if (this.#ended !== undefined) throw this.#ended;
  }

  #arrive(way: Way, frame: Uint8Array): void {
    const { segment } = decodeFrame(frame, { linkType: 'ethernet' });
    const act = segment && this.#judge(way.from, segment);
    if (act === undefined) this.#pass(way, frame);
    else act(way, frame);
  }

  /** What the first fault does that means a segment. All of them count it. */
  #judge(from: End, segment: Segment): Act | undefined {
    const tNs = process.hrtime.bigint();
    let deciding: Act | undefined;
    for (const [rule, act] of this.#rules) {
      if (!rule.means(segment, from)) continue;
      if (act !== undefined && deciding !== undefined) continue;
      deciding ??= act;
      rule.note({ tNs, from, segment });
    }
    return deciding;
  }

  #pass(way: Way, frame: Uint8Array): void {
    if (way.cut || this.#ended !== undefined) return;
    if (way.waiting !== undefined) {
      way.waiting.push(frame);
      return;
    }
    const { overtaken } = way;
    way.overtaken = [];
    try {
      for (const each of [frame, ...overtaken]) way.out.send(each);
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(cause: Error): void {
    this.#end(new Error(`the link has failed: ${cause.message}`, { cause }));
  }

  /** Ends the link; what it holds is lost. */
  #end(why: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = why;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    for (const rule of this.#rules.keys()) rule.end(why);
    this.#rules.clear();
  }

  /** Ends the link: nothing passes any more, and nobody waits for a hit. Idempotent. */
  async close(): Promise<void> {
    this.#end(new Error('the link is closed'));
    await Promise.all([this.#ports.client.close(), this.#ports.server.close()]);
  }

  /** Closes it; a second time does nothing. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
