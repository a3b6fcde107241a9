import { AF_INET, AF_INET6, formatAddress, parseAddress } from './address.js';
import {
  type Attribute,
  decodeText,
  encodeAttributes,
  encodeMessage,
  encodeText,
  encodeU32,
  findAttribute,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from './netlink.js';

/** Message types and multicast groups: linux/rtnetlink.h. */
export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_NEWROUTE = 24;
export const RTM_NEWNEIGH = 28;
export const RTMGRP_LINK = 1;
export const RTMGRP_IPV6_ROUTE = 0x400;

/** A route to an address of the host itself, and the attribute that names it: linux/rtnetlink.h. */
export const RTN_LOCAL = 2;
export const RTA_DST = 1;

/** Attributes of a link: linux/if_link.h, linux/veth.h. */
export const IFLA_ADDRESS = 1;
export const IFLA_IFNAME = 3;
export const IFLA_MTU = 4;
export const IFLA_LINKINFO = 18;
export const IFLA_AF_SPEC = 26;
export const IFLA_NET_NS_FD = 28;
export const IFLA_INET6_ADDR_GEN_MODE = 8;
export const IN6_ADDR_GEN_MODE_NONE = 1;
export const IFLA_INFO_KIND = 1;
export const IFLA_INFO_DATA = 2;
export const VETH_INFO_PEER = 1;

/** Attributes and flags of an address: linux/if_addr.h. IFA_F_NODAD makes an IPv6 address usable at once. */
export const IFA_ADDRESS = 1;
export const IFA_LOCAL = 2;
export const IFA_F_NODAD = 0x02;

/** Attributes and states of a neighbour: linux/neighbour.h. */
export const NDA_DST = 1;
export const NDA_LLADDR = 2;
export const NUD_PERMANENT = 0x80;

/** Flags of a link: linux/if.h. A link that is up and running passes packets; without ARP it has no ND either. */
export const IFF_UP = 0x1;
export const IFF_RUNNING = 0x40;
export const IFF_NOARP = 0x80;

/** `struct ifinfomsg`, `struct ifaddrmsg`, `struct ndmsg`, `struct rtmsg`: sizes in bytes, and offsets in two of them. */
export const IFINFOMSG_SIZE = 16;
export const IFADDRMSG_SIZE = 8;
export const NDMSG_SIZE = 12;
export const RTMSG_SIZE = 12;
export const ifinfomsg = { index: 4, flags: 8, change: 12 } as const;
export const rtmsg = { family: 0, type: 7 } as const;

const LINK_ADDRESS_LENGTH = 6;
/** IFNAMSIZ less the NUL. */
const NAME_LENGTH = 15;

/** One end of a veth pair. */
export interface VethEnd {
  /** 1 to 15 bytes. */
  readonly name: string;
  /** A descriptor of the network namespace it goes to; left out: that of the request's socket. */
  readonly netns?: number;
  /** `02:00:00:00:00:01`; left out: the kernel makes one up. */
  readonly linkAddress?: string;
}

/** Encodes RTM_NEWLINK for a veth pair (veth(4)). Throws TypeError or RangeError for what can be no name or address. */
export function encodeNewVeth(sequence: number, end: VethEnd, peer: VethEnd): Uint8Array {
  const info = new Uint8Array([
    ...new Uint8Array(IFINFOMSG_SIZE),
    ...encodeAttributes(ofEnd(peer)),
  ]);
  return encodeMessage({
    type: RTM_NEWLINK,
    flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    sequence,
    head: new Uint8Array(IFINFOMSG_SIZE),
    attributes: [
      ...ofEnd(end),
      [
        IFLA_LINKINFO,
        [
          [IFLA_INFO_KIND, encodeText('veth')],
          [IFLA_INFO_DATA, [[VETH_INFO_PEER, info]]],
        ],
      ],
    ],
  });
}

function ofEnd({ name, netns, linkAddress }: VethEnd): Attribute[] {
  const attributes: Attribute[] = [[IFLA_IFNAME, encodeName(name)]];
  if (linkAddress !== undefined) attributes.push([IFLA_ADDRESS, encodeLinkAddress(linkAddress)]);
  if (netns !== undefined) attributes.push([IFLA_NET_NS_FD, encodeU32(netns)]);
  return attributes;
}

/** What can be changed of a link; what is left out stays as it is. */
export interface LinkChange {
  readonly index: number;
  readonly up?: boolean;
  /** False: link addresses are not asked for, by ARP or ND; who is not a neighbour by entry is not reached. */
  readonly arp?: boolean;
  /** False: no IPv6 address of the kernel's own making (fe80::). */
  readonly generateAddress?: false;
}

/** Encodes RTM_NEWLINK that changes a link. */
export function encodeSetLink(sequence: number, change: LinkChange): Uint8Array {
  const { index, up, arp, generateAddress } = change;
  const bit = (wanted: boolean | undefined, flag: number) => (wanted === true ? flag : 0);
  const head = new DataView(new ArrayBuffer(IFINFOMSG_SIZE));
  head.setInt32(ifinfomsg.index, index, true);
  head.setUint32(ifinfomsg.flags, bit(up, IFF_UP) | bit(arp === false, IFF_NOARP), true);
  const changed = bit(up !== undefined, IFF_UP) | bit(arp !== undefined, IFF_NOARP);
  head.setUint32(ifinfomsg.change, changed, true);
  const none: Attribute = [IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE)];
  return encodeMessage({
    type: RTM_NEWLINK,
    flags: NLM_F_REQUEST | NLM_F_ACK,
    sequence,
    head: new Uint8Array(head.buffer),
    attributes: generateAddress === false ? [[IFLA_AF_SPEC, [[AF_INET6, [none]]]]] : [],
  });
}

/** Encodes RTM_GETLINK for one link by its name. The answer is one RTM_NEWLINK or an error. */
export function encodeGetLink(sequence: number, name: string): Uint8Array {
  return encodeMessage({
    type: RTM_GETLINK,
    flags: NLM_F_REQUEST,
    sequence,
    head: new Uint8Array(IFINFOMSG_SIZE),
    attributes: [[IFLA_IFNAME, encodeName(name)]],
  });
}

/** An address of a link, and how much of it names the network. */
export interface LinkAddress {
  readonly index: number;
  readonly address: string;
  readonly prefixLength: number;
}

/** Encodes RTM_NEWADDR; an IPv6 address is not probed for duplicates. Throws TypeError or RangeError for a wrong address. */
export function encodeNewAddress(
  sequence: number,
  { index, address, prefixLength }: LinkAddress,
): Uint8Array {
  const bytes = encodeAddress(address);
  if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bytes.length * 8) {
    throw new RangeError(`not a prefix length of ${address}: ${prefixLength}`);
  }
  const head = new DataView(new ArrayBuffer(IFADDRMSG_SIZE));
  head.setUint8(0, familyOf(bytes));
  head.setUint8(1, prefixLength);
  head.setUint8(2, bytes.length === 16 ? IFA_F_NODAD : 0);
  head.setUint32(4, index, true);
  return encodeMessage({
    type: RTM_NEWADDR,
    flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    sequence,
    head: new Uint8Array(head.buffer),
    attributes: [
      [IFA_LOCAL, bytes],
      [IFA_ADDRESS, bytes],
    ],
  });
}

/** Who has an address on a link: it is not asked for then (arp(7)), and answers to nobody. */
export interface Neighbour {
  readonly index: number;
  readonly address: string;
  readonly linkAddress: string;
}

/** Encodes RTM_NEWNEIGH of a permanent entry. Throws TypeError for what is no address. */
export function encodeNewNeighbour(
  sequence: number,
  { index, address, linkAddress }: Neighbour,
): Uint8Array {
  const bytes = encodeAddress(address);
  const head = new DataView(new ArrayBuffer(NDMSG_SIZE));
  head.setUint8(0, familyOf(bytes));
  head.setInt32(4, index, true);
  head.setUint16(8, NUD_PERMANENT, true);
  return encodeMessage({
    type: RTM_NEWNEIGH,
    flags: NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    sequence,
    head: new Uint8Array(head.buffer),
    attributes: [
      [NDA_DST, bytes],
      [NDA_LLADDR, encodeLinkAddress(linkAddress)],
    ],
  });
}

/** A link as an RTM_NEWLINK tells of it. */
export interface LinkInfo {
  readonly index: number;
  readonly name: string;
  /** IFF_UP, IFF_RUNNING, ... */
  readonly flags: number;
  readonly mtu: number | undefined;
  /** `02:00:00:00:00:01`; undefined where it has none. */
  readonly linkAddress: string | undefined;
}

/** Decodes the payload of an RTM_NEWLINK or RTM_DELLINK; undefined where it is cut short. */
export function decodeLink(bytes: Uint8Array): LinkInfo | undefined {
  if (bytes.length < IFINFOMSG_SIZE) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const attribute = (type: number) => findAttribute(bytes, IFINFOMSG_SIZE, bytes.length, type);
  const mtu = attribute(IFLA_MTU);
  const linkAddress = attribute(IFLA_ADDRESS);
  return {
    index: view.getInt32(ifinfomsg.index, true),
    name: decodeText(attribute(IFLA_IFNAME) ?? new Uint8Array()),
    flags: view.getUint32(ifinfomsg.flags, true),
    mtu:
      mtu?.length === 4 ? new DataView(mtu.buffer, mtu.byteOffset).getUint32(0, true) : undefined,
    linkAddress: linkAddress && formatLinkAddress(linkAddress),
  };
}

/** The address of the host itself that the payload of an RTM_NEWROUTE is about; undefined where it is another route. */
export function decodeLocalRoute(bytes: Uint8Array): string | undefined {
  if (bytes.length < RTMSG_SIZE || bytes[rtmsg.type] !== RTN_LOCAL) return;
  const family = bytes[rtmsg.family];
  const destination = findAttribute(bytes, RTMSG_SIZE, bytes.length, RTA_DST);
  if (destination?.length !== (family === AF_INET6 ? 16 : 4)) return;
  return formatAddress(destination, 0, family === AF_INET6 ? AF_INET6 : AF_INET);
}

/** `02:00:00:00:00:01`, as ip(8) writes it. */
export function formatLinkAddress(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function encodeLinkAddress(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) {
    throw new TypeError(`not a link address: ${text}`);
  }
  const bytes = text.split(':').map((pair) => Number.parseInt(pair, 16));
  return Uint8Array.from(bytes.slice(0, LINK_ADDRESS_LENGTH));
}

// What the kernel refuses too (dev_valid_name()), but a NUL, and what it would cut.
function encodeName(name: string): Uint8Array {
  const bytes = encodeText(name);
  if (
    !/^[^\s/:\0]+$/.test(name) ||
    name === '.' ||
    name === '..' ||
    bytes.length > NAME_LENGTH + 1
  ) {
    throw new RangeError(`not an interface name: ${JSON.stringify(name)}`);
  }
  return bytes;
}

function encodeAddress(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new TypeError(`not an address: ${text}`);
  return bytes;
}

const familyOf = ({ length }: Uint8Array): number => (length === 16 ? AF_INET6 : AF_INET);
