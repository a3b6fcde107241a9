import { existsSync } from 'node:fs';
import * as sys from '../syscall/sys.js';
import { AF_INET6, formatAddress, parseAddress } from '../tcp/address.js';
import { decodeFamily, encodeFeaturesOff, encodeGetFamily } from '../tcp/ethtool.js';
import {
  encodeNetlinkAddress,
  NETLINK_CAP_ACK,
  NETLINK_EXT_ACK,
  NetlinkCursor,
  NLMSG_ERROR,
} from '../tcp/netlink.js';
import {
  decodeLink,
  decodeLocalRoute,
  encodeGetLink,
  encodeNewAddress,
  encodeNewNeighbour,
  encodeNewVeth,
  encodeSetLink,
  IFF_RUNNING,
  IFF_UP,
  type LinkInfo,
  RTM_NEWLINK,
  RTM_NEWROUTE,
  RTMGRP_IPV6_ROUTE,
  RTMGRP_LINK,
  type VethEnd,
} from '../tcp/rtnetlink.js';

/** Whether this kernel speaks IPv6: `ipv6.disable=1`, and kernels built without it, do not. */
export const hasIpv6 = (): boolean => existsSync('/proc/net/if_inet6');

/** Room for the answer to one request: a link with all that the kernel tells of it takes 2 KiB. */
const ROOM = 16_384;
const DEADLINE_MS = 10_000;

/** Segmentation offload needs the checksum's, and goes with it. */
const OFFLOADS = ['tx-checksum-ip-generic'] as const;

/**
 * The interfaces of one network namespace, over rtnetlink(7) and ethtool's netlink. Every request is made on the actor
 * whose namespace it is, and ends as one: its error carries the kernel's own words besides the errno.
 */
export class Interfaces implements Disposable {
  readonly #actor: sys.Actor;
  readonly #fds = new sys.Descriptors();
  readonly #route: number;
  #sequence = 0;

  private constructor(actor: sys.Actor, route: number) {
    this.#actor = actor;
    this.#route = this.#fds.own(route);
  }

  /** Opens the interfaces of the actor's namespace. The actor stays the caller's. Throws SyscallError. */
  static async open(actor: sys.Actor): Promise<Interfaces> {
    using fds = new sys.Descriptors();
    const route = await openNetlink(actor, fds, sys.NETLINK_ROUTE);
    return new Interfaces(actor, fds.release(route));
  }

  /** Makes a pair of interfaces, each the other's wire. Either may go to another namespace. Throws SyscallError. */
  async createVeth(end: VethEnd, peer: VethEnd): Promise<void> {
    const what = `${end.name} and ${peer.name}`;
    await this.#request('RTM_NEWLINK', what, (sequence) => encodeNewVeth(sequence, end, peer));
  }

  /** Sets IFF_UP. Packets pass when it is running, too. Throws SyscallError. */
  async setUp(name: string): Promise<void> {
    const { index } = await this.find(name);
    await this.#request('RTM_NEWLINK', name, (sequence) =>
      encodeSetLink(sequence, { index, up: true }),
    );
  }

  /**
   * Has an interface that is not up yet send what it is told to, and nothing of its own accord: no ARP, no neighbour
   * discovery, no address of the kernel's making and no reports about one. Neighbours have to be added. Throws
   * SyscallError.
   */
  async quieten(name: string): Promise<void> {
    const { index } = await this.find(name);
    await this.#request('RTM_NEWLINK', name, (sequence) =>
      encodeSetLink(sequence, {
        index,
        arp: false,
        ...(hasIpv6() && { generateAddress: false }),
      }),
    );
  }

  /**
   * Gives an interface that is up an address. An IPv6 address is usable only when the kernel has made the route to it, which
   * it does later, on a work queue: that is waited for. Throws SyscallError.
   */
  async addAddress(name: string, address: string, prefixLength: number): Promise<void> {
    const { index } = await this.find(name);
    using fds = new sys.Descriptors();
    const news = address.includes(':') ? await this.#listen(fds, RTMGRP_IPV6_ROUTE) : undefined;
    await this.#request('RTM_NEWADDR', `${address} on ${name}`, (sequence) =>
      encodeNewAddress(sequence, { index, address, prefixLength }),
    );
    if (news === undefined) return;
    const wanted = parseAddress(address) ?? new Uint8Array(16);
    const canonical = formatAddress(wanted, 0, AF_INET6);
    const missing = `no route to ${address} on ${name}`;
    await this.#hear(news, RTM_NEWROUTE, DEADLINE_MS, missing, (payload) =>
      decodeLocalRoute(payload) === canonical ? undefined : missing,
    );
  }

  /** Says for good which link address an address has: nobody asks with ARP or ND. Throws SyscallError. */
  async addNeighbour(name: string, address: string, linkAddress: string): Promise<void> {
    const { index } = await this.find(name);
    await this.#request('RTM_NEWNEIGH', `${address} on ${name}`, (sequence) =>
      encodeNewNeighbour(sequence, { index, address, linkAddress }),
    );
  }

  /** What an interface is now. Throws SyscallError, ENODEV where there is none. */
  async find(name: string): Promise<LinkInfo> {
    const answer = await this.#request('RTM_GETLINK', name, (sequence) =>
      encodeGetLink(sequence, name),
    );
    const link = decodeLink(answer);
    if (link === undefined) throw new Error(`RTM_GETLINK: ${answer.length} bytes about ${name}`);
    return link;
  }

  /**
   * Waits until an interface passes packets: a fresh one is up before it runs, and loses what is sent in between. The kernel
   * tells of the change; nobody asks twice. Fails after a deadline, with what was seen instead.
   */
  async running(name: string, deadlineMs = DEADLINE_MS): Promise<LinkInfo> {
    using fds = new sys.Descriptors();
    // First to listen, then to ask: a change in between is heard.
    const news = await this.#listen(fds, RTMGRP_LINK);
    let link = await this.find(name);
    const missing = (): string | undefined =>
      isRunning(link) ? undefined : `${name} is not running: flags 0x${link.flags.toString(16)}`;
    const missed = missing();
    if (missed === undefined) return link;
    await this.#hear(news, RTM_NEWLINK, deadlineMs, missed, (payload) => {
      const told = decodeLink(payload);
      if (told?.index === link.index) link = told;
      return missing();
    });
    return link;
  }

  /**
   * Switches off what a veth leaves to its peer: checksums, and with them segmentation. What is captured on it, or forwarded
   * by a program, then is as it would be on a wire: a segment is a frame, and its checksum is right. Over
   * ethtool's netlink, because SIOCETHTOOL takes a pointer. Throws SyscallError.
   */
  async switchOffloadOff(name: string): Promise<void> {
    using fds = new sys.Descriptors();
    const fd = await openNetlink(this.#actor, fds, sys.NETLINK_GENERIC);
    const answer = await this.#request(
      'CTRL_CMD_GETFAMILY',
      'ethtool',
      (sequence) => encodeGetFamily(sequence, 'ethtool'),
      fd,
    );
    const family = decodeFamily(answer);
    if (family === undefined) throw new Error('CTRL_CMD_GETFAMILY: an answer without a number');
    await this.#request(
      'ETHTOOL_MSG_FEATURES_SET',
      name,
      (sequence) => encodeFeaturesOff(family, sequence, name, OFFLOADS),
      fd,
    );
  }

  /** Opens a socket that hears of what happens in this namespace. */
  async #listen(fds: sys.Descriptors, groups: number): Promise<number> {
    const fd = await openNetlink(this.#actor, fds, sys.NETLINK_ROUTE);
    await this.#actor.bind(fd, encodeNetlinkAddress(groups));
    return fd;
  }

  /** Takes news of one type until `look` misses nothing any more. After the deadline what it misses is the error. */
  async #hear(
    news: number,
    type: number,
    deadlineMs: number,
    missed: string,
    look: (payload: Uint8Array) => string | undefined,
  ): Promise<void> {
    const signal = AbortSignal.timeout(deadlineMs);
    const bytes = new Uint8Array(ROOM);
    let missing: string | undefined = missed;
    for (;;) {
      const length = await this.#actor.recv(news, bytes, { signal }).catch((cause: unknown) => {
        if (!signal.aborted) throw cause;
        throw new Error(`${missing}, after ${deadlineMs} ms`, { cause });
      });
      const cursor = new NetlinkCursor(bytes.subarray(0, length));
      while (cursor.next()) {
        if (cursor.type !== type) continue;
        missing = look(bytes.subarray(cursor.offset, cursor.end));
        if (missing === undefined) return;
      }
    }
  }

  /** Sends a request and takes its answer: the payload of a message, or nothing where it was done. */
  async #request(
    type: string,
    what: string,
    encode: (sequence: number) => Uint8Array,
    fd = this.#route,
  ): Promise<Uint8Array> {
    const sequence = ++this.#sequence;
    await this.#actor.send(fd, encode(sequence));
    const bytes = new Uint8Array(ROOM);
    const cursor = new NetlinkCursor(bytes.subarray(0, await this.#actor.recv(fd, bytes)));
    if (!cursor.next() || cursor.sequence !== sequence) {
      throw new Error(`${type}: ${cursor.malformed ?? 'an answer to something else'}`);
    }
    if (cursor.type !== NLMSG_ERROR) return bytes.subarray(cursor.offset, cursor.end);
    const errno = cursor.errno();
    if (errno === 0) return new Uint8Array();
    const words = cursor.explanation();
    const path = words === undefined ? what : `${what}: ${words}`;
    throw new sys.SyscallError(type, -errno, { path });
  }

  [Symbol.dispose](): void {
    this.#fds[Symbol.dispose]();
  }
}

/** A netlink socket whose errors come in words. */
async function openNetlink(
  actor: sys.Actor,
  fds: sys.Descriptors,
  protocol: number,
): Promise<number> {
  const fd = fds.own(await actor.socket(sys.AF_NETLINK, sys.SOCK_RAW | sys.SOCK_CLOEXEC, protocol));
  await actor.setsockopt(fd, sys.SOL_NETLINK, NETLINK_EXT_ACK, 1);
  await actor.setsockopt(fd, sys.SOL_NETLINK, NETLINK_CAP_ACK, 1);
  return fd;
}

const isRunning = ({ flags }: LinkInfo): boolean =>
  (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0;
