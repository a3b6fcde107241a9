/** A wire and a real host, for tests of what the one does to the other. */
import type { ExecutionContext } from 'ava';
import { SockDiag } from '../../src/observer/sock-diag.js';
import * as sys from '../../src/syscall/sys.js';
import type { Endpoint } from '../../src/tcp/address.js';
import { encodeSegment, type OutgoingSegment } from '../../src/tcp/segment-encode.js';
import { type ConversationOptions, Network } from '../../src/world/network.js';
import { PacketPort } from '../../src/world/packet-port.js';
import type { Wire } from '../../src/world/wire.js';
import { until } from '../fixture/until.js';
import { noNamespace, testUnless } from './ability.js';

/** A wire, and the host at its other end. */
export class Scene implements AsyncDisposable {
  readonly wire: Wire;
  /** Acts on the host. */
  readonly host: sys.Actor;
  readonly address: string;
  readonly #network: Network;
  readonly #owned = new sys.Descriptors();
  readonly #diag: SockDiag;
  readonly #domain: number;

  private constructor(network: Network, wire: Wire, host: sys.Actor, diag: SockDiag) {
    this.#network = network;
    this.wire = wire;
    this.host = host;
    this.#diag = diag;
    this.address = wire.remote.address;
    this.#domain = this.address.includes(':') ? sys.AF_INET6 : sys.AF_INET;
  }

  static async open(options: ConversationOptions): Promise<Scene> {
    const network = await Network.open({ wire: 'client' });
    const wire = await network.wire(options);
    const host = await network.server.actor('host');
    const diag = new SockDiag(await host.socket(...SockDiag.socket));
    return new Scene(network, wire, host, diag);
  }

  /** Another conversation of the same wire. */
  wireAt(port: number, options: ConversationOptions = {}): Promise<Wire> {
    const version = this.address.includes(':') ? 6 : 4;
    return this.#network.wire({ ...options, port, version });
  }

  /** Sends a frame out of the host past its stack. */
  async put(
    segment: OutgoingSegment,
    {
      times = 1,
      cutTo,
      badChecksum = false,
    }: { times?: number; cutTo?: number; badChecksum?: boolean },
  ): Promise<void> {
    const [destination, source] = [this.#network.client, this.#network.server].map(
      ({ linkAddress }) => Buffer.from(linkAddress.replaceAll(':', ''), 'hex'),
    ) as unknown as [Uint8Array, Uint8Array];
    const ethernet = { source, destination };
    const frame = encodeSegment(segment, { ethernet, badChecksum }).subarray(0, cutTo);
    const port = await PacketPort.open(await this.#network.server.actor('past the stack'), 'eth0');
    for (let i = 0; i < times; i++) port.send(frame);
    await port.close();
  }

  set(setting: string, value: string): Promise<void> {
    return this.#network.server.setSysctl(`net/ipv4/${setting}`, value);
  }

  async socket(): Promise<number> {
    const { host } = this;
    return this.#owned.own(await host.socket(this.#domain, sys.SOCK_STREAM | sys.SOCK_CLOEXEC));
  }

  /** A socket of the host that listens, and where. */
  async listen(): Promise<{ fd: number } & Endpoint> {
    const fd = await this.socket();
    await this.host.bind(fd, { address: this.address, port: 0 });
    await this.host.listen(fd, 8);
    return { fd, ...(await this.host.getsockname(fd)) };
  }

  async accept(listener: number): Promise<number> {
    return this.#owned.own((await this.host.accept(listener)).fd);
  }

  async close(fd: number): Promise<void> {
    await this.host.close(this.#owned.release(fd));
  }

  /** A connection that the wire has begun, and the host has taken. */
  async connected(): Promise<{ fd: number; port: number }> {
    const { fd, port } = await this.listen();
    await this.wire.connect(port);
    return { fd: await this.accept(fd), port };
  }

  /** A connection that the host has begun. */
  async connecting(): Promise<number> {
    const fd = await this.socket();
    const connected = this.host.connect(fd, this.wire.local);
    await this.wire.accept();
    await connected;
    return fd;
  }

  async write(fd: number, data: string): Promise<void> {
    await this.host.write(fd, data);
  }

  async read(fd: number): Promise<string> {
    const buffer = new Uint8Array(64);
    return Buffer.from(buffer.subarray(0, await this.host.read(fd, buffer))).toString();
  }

  /** The state of the host's end, which is in no table in CLOSE. */
  get state(): string {
    const { local, remote } = this.wire;
    return this.#diag.find({ local: remote, remote: local })?.state ?? 'CLOSE';
  }

  /** Waits for a state of the host's end. */
  async in(state: string): Promise<void> {
    // Often the kernel answers first, and changes its state then.
    await until(
      () => this.state === state,
      () => `${state}; it is ${this.state}\n${this.wire.conversation}`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.wire.close();
    this.#diag.close();
    this.#owned[Symbol.dispose]();
    await this.#network.close();
  }
}

/** What happens in a test. */
type Act = (t: ExecutionContext, scene: Scene, wire: Wire) => Promise<void>;

/** A test on a wire, once over IPv4 and once over IPv6. */
export function onWire(title: string, act: Act, options: ConversationOptions = {}): void {
  for (const version of [4, 6] as const) {
    testUnless(noNamespace, `${title}, IPv${version}`, async (t) => {
      await using scene = await Scene.open({ ...options, version });
      await act(t, scene, scene.wire);
    });
  }
}
