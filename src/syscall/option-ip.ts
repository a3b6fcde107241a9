// The options of IPPROTO_IP: ip(7), linux/in.h; those of multicast that IPv6 has under the same name, too.

import * as c from './constants.js';
import {
  groupFilter,
  groupMembership,
  groupSource,
  membership,
  multicastInterface,
  sourceFilter,
  sourceMembership,
} from './option-address-codec.js';
import { controls, flag, int, networkInt, portRange, raw } from './option-codec.js';
import { at, get, set } from './option-row.js';

const ip = at(c.IPPROTO_IP);
const level6 = c.IPPROTO_IPV6;

/** Of sockets of AF_INET, and of those of AF_INET6 that speak IPv4 as well. */
export const ipOptions = {
  IP_ADD_MEMBERSHIP: ip(c.IP_ADD_MEMBERSHIP, membership, set),
  IP_ADD_SOURCE_MEMBERSHIP: ip(c.IP_ADD_SOURCE_MEMBERSHIP, sourceMembership, set),
  IP_BIND_ADDRESS_NO_PORT: ip(c.IP_BIND_ADDRESS_NO_PORT, flag),
  IP_BLOCK_SOURCE: ip(c.IP_BLOCK_SOURCE, sourceMembership, set),
  IP_CHECKSUM: ip(c.IP_CHECKSUM, flag),
  IP_DROP_MEMBERSHIP: ip(c.IP_DROP_MEMBERSHIP, membership, set),
  IP_DROP_SOURCE_MEMBERSHIP: ip(c.IP_DROP_SOURCE_MEMBERSHIP, sourceMembership, set),
  IP_FREEBIND: ip(c.IP_FREEBIND, flag),
  IP_HDRINCL: ip(c.IP_HDRINCL, flag, { note: 'raw sockets' }),
  IP_IPSEC_POLICY: ip(c.IP_IPSEC_POLICY, raw, {
    access: 'set',
    needs: 'CAP_NET_ADMIN',
    note: 'the pfkey form of IP_XFRM_POLICY',
  }),
  IP_LOCAL_PORT_RANGE: ip(c.IP_LOCAL_PORT_RANGE, portRange, { since: '6.3' }),
  IP_MINTTL: ip(c.IP_MINTTL, int),
  IP_MSFILTER: ip(c.IP_MSFILTER, sourceFilter),
  IP_MTU: ip(c.IP_MTU, int, { unit: 'bytes', access: 'get' }),
  IP_MTU_DISCOVER: ip(c.IP_MTU_DISCOVER, int),
  IP_MULTICAST_ALL: ip(c.IP_MULTICAST_ALL, flag),
  IP_MULTICAST_IF: ip(c.IP_MULTICAST_IF, multicastInterface),
  IP_MULTICAST_LOOP: ip(c.IP_MULTICAST_LOOP, flag),
  IP_MULTICAST_TTL: ip(c.IP_MULTICAST_TTL, int),
  IP_NODEFRAG: ip(c.IP_NODEFRAG, flag, { note: 'raw sockets' }),
  IP_OPTIONS: ip(c.IP_OPTIONS, raw),
  IP_PASSSEC: ip(c.IP_PASSSEC, flag),
  IP_PKTINFO: ip(c.IP_PKTINFO, flag),
  IP_PKTOPTIONS: ip(c.IP_PKTOPTIONS, controls, { access: 'get', note: 'streams' }),
  IP_PROTOCOL: ip(c.IP_PROTOCOL, int, { ...get, since: '6.4' }),
  IP_RECVERR: ip(c.IP_RECVERR, flag),
  IP_RECVERR_RFC4884: ip(c.IP_RECVERR_RFC4884, flag),
  IP_RECVFRAGSIZE: ip(c.IP_RECVFRAGSIZE, flag),
  IP_RECVOPTS: ip(c.IP_RECVOPTS, flag),
  IP_RECVORIGDSTADDR: ip(c.IP_RECVORIGDSTADDR, flag),
  IP_RECVTOS: ip(c.IP_RECVTOS, flag),
  IP_RECVTTL: ip(c.IP_RECVTTL, flag),
  IP_RETOPTS: ip(c.IP_RETOPTS, flag),
  IP_ROUTER_ALERT: ip(c.IP_ROUTER_ALERT, int, { note: 'raw sockets, except of IPPROTO_RAW' }),
  IP_TOS: ip(c.IP_TOS, int),
  IP_TRANSPARENT: ip(c.IP_TRANSPARENT, flag, { needs: 'CAP_NET_RAW' }),
  IP_TTL: ip(c.IP_TTL, int),
  IP_UNBLOCK_SOURCE: ip(c.IP_UNBLOCK_SOURCE, sourceMembership, set),
  IP_UNICAST_IF: ip(c.IP_UNICAST_IF, networkInt),
  IP_XFRM_POLICY: ip(c.IP_XFRM_POLICY, raw, {
    access: 'set',
    needs: 'CAP_NET_ADMIN',
    note: 'struct xfrm_userpolicy_info',
  }),
  MCAST_BLOCK_SOURCE: ip(c.MCAST_BLOCK_SOURCE, groupSource, { ...set, level6 }),
  MCAST_JOIN_GROUP: ip(c.MCAST_JOIN_GROUP, groupMembership, { ...set, level6 }),
  MCAST_JOIN_SOURCE_GROUP: ip(c.MCAST_JOIN_SOURCE_GROUP, groupSource, { ...set, level6 }),
  MCAST_LEAVE_GROUP: ip(c.MCAST_LEAVE_GROUP, groupMembership, { ...set, level6 }),
  MCAST_LEAVE_SOURCE_GROUP: ip(c.MCAST_LEAVE_SOURCE_GROUP, groupSource, { ...set, level6 }),
  MCAST_MSFILTER: ip(c.MCAST_MSFILTER, groupFilter, { level6 }),
  MCAST_UNBLOCK_SOURCE: ip(c.MCAST_UNBLOCK_SOURCE, groupSource, { ...set, level6 }),
} as const;
