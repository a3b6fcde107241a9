// The options of IPPROTO_IPV6: ipv6(7), RFC 3493, RFC 3542, linux/in6.h.

import * as c from './constants.js';
import { flowLabel, membership6, packetInfo6, pathMtu } from './option-address-codec.js';
import { controls, flag, int, networkInt, raw } from './option-codec.js';
import { at, get, set } from './option-row.js';

const ipv6 = at(c.IPPROTO_IPV6);

/** Of sockets of AF_INET6. */
export const ipv6Options = {
  IPV6_2292DSTOPTS: ipv6(c.IPV6_2292DSTOPTS, flag),
  IPV6_2292HOPLIMIT: ipv6(c.IPV6_2292HOPLIMIT, flag),
  IPV6_2292HOPOPTS: ipv6(c.IPV6_2292HOPOPTS, flag),
  IPV6_2292PKTINFO: ipv6(c.IPV6_2292PKTINFO, flag),
  IPV6_2292PKTOPTIONS: ipv6(c.IPV6_2292PKTOPTIONS, controls, {
    note: 'set: what is sent, on any socket; read: what came, on streams',
  }),
  IPV6_2292RTHDR: ipv6(c.IPV6_2292RTHDR, flag),
  IPV6_ADDRFORM: ipv6(c.IPV6_ADDRFORM, int),
  IPV6_ADDR_PREFERENCES: ipv6(c.IPV6_ADDR_PREFERENCES, int),
  IPV6_ADD_MEMBERSHIP: ipv6(c.IPV6_ADD_MEMBERSHIP, membership6, {
    access: 'set',
    note: "ipv6(7)'s name for IPV6_JOIN_GROUP",
  }),
  IPV6_AUTOFLOWLABEL: ipv6(c.IPV6_AUTOFLOWLABEL, flag),
  IPV6_CHECKSUM: ipv6(c.IPV6_CHECKSUM, int, {
    unit: 'bytes',
    note: 'raw sockets: where the checksum is; -1: none',
  }),
  IPV6_DONTFRAG: ipv6(c.IPV6_DONTFRAG, flag),
  IPV6_DROP_MEMBERSHIP: ipv6(c.IPV6_DROP_MEMBERSHIP, membership6, {
    access: 'set',
    note: "ipv6(7)'s name for IPV6_LEAVE_GROUP",
  }),
  IPV6_DSTOPTS: ipv6(c.IPV6_DSTOPTS, raw, { needs: 'CAP_NET_RAW' }),
  IPV6_FLOWINFO: ipv6(c.IPV6_FLOWINFO, flag),
  IPV6_FLOWINFO_SEND: ipv6(c.IPV6_FLOWINFO_SEND, flag),
  IPV6_FLOWLABEL_MGR: ipv6(c.IPV6_FLOWLABEL_MGR, flowLabel),
  IPV6_FREEBIND: ipv6(c.IPV6_FREEBIND, flag),
  IPV6_HDRINCL: ipv6(c.IPV6_HDRINCL, flag, { note: 'raw sockets' }),
  IPV6_HOPOPTS: ipv6(c.IPV6_HOPOPTS, raw, { needs: 'CAP_NET_RAW' }),
  IPV6_IPSEC_POLICY: ipv6(c.IPV6_IPSEC_POLICY, raw, {
    access: 'set',
    needs: 'CAP_NET_ADMIN',
    note: 'the pfkey form of IPV6_XFRM_POLICY',
  }),
  IPV6_JOIN_ANYCAST: ipv6(c.IPV6_JOIN_ANYCAST, membership6, {
    access: 'set',
    needs: 'CAP_NET_ADMIN',
  }),
  IPV6_JOIN_GROUP: ipv6(c.IPV6_JOIN_GROUP, membership6, set),
  IPV6_LEAVE_ANYCAST: ipv6(c.IPV6_LEAVE_ANYCAST, membership6, set),
  IPV6_LEAVE_GROUP: ipv6(c.IPV6_LEAVE_GROUP, membership6, set),
  IPV6_MINHOPCOUNT: ipv6(c.IPV6_MINHOPCOUNT, int),
  IPV6_MTU: ipv6(c.IPV6_MTU, int, { unit: 'bytes' }),
  IPV6_MTU_DISCOVER: ipv6(c.IPV6_MTU_DISCOVER, int),
  IPV6_MULTICAST_ALL: ipv6(c.IPV6_MULTICAST_ALL, flag),
  IPV6_MULTICAST_HOPS: ipv6(c.IPV6_MULTICAST_HOPS, int),
  IPV6_MULTICAST_IF: ipv6(c.IPV6_MULTICAST_IF, int),
  IPV6_MULTICAST_LOOP: ipv6(c.IPV6_MULTICAST_LOOP, flag),
  IPV6_PATHMTU: ipv6(c.IPV6_PATHMTU, pathMtu, get),
  IPV6_PKTINFO: ipv6(c.IPV6_PKTINFO, packetInfo6, set),
  IPV6_RECVDSTOPTS: ipv6(c.IPV6_RECVDSTOPTS, flag),
  IPV6_RECVERR: ipv6(c.IPV6_RECVERR, flag),
  IPV6_RECVERR_RFC4884: ipv6(c.IPV6_RECVERR_RFC4884, flag),
  IPV6_RECVFRAGSIZE: ipv6(c.IPV6_RECVFRAGSIZE, flag),
  IPV6_RECVHOPLIMIT: ipv6(c.IPV6_RECVHOPLIMIT, flag),
  IPV6_RECVHOPOPTS: ipv6(c.IPV6_RECVHOPOPTS, flag),
  IPV6_RECVORIGDSTADDR: ipv6(c.IPV6_RECVORIGDSTADDR, flag),
  IPV6_RECVPATHMTU: ipv6(c.IPV6_RECVPATHMTU, flag),
  IPV6_RECVPKTINFO: ipv6(c.IPV6_RECVPKTINFO, flag),
  IPV6_RECVRTHDR: ipv6(c.IPV6_RECVRTHDR, flag),
  IPV6_RECVTCLASS: ipv6(c.IPV6_RECVTCLASS, flag),
  IPV6_ROUTER_ALERT: ipv6(c.IPV6_ROUTER_ALERT, int, { note: 'raw sockets of IPPROTO_RAW' }),
  IPV6_ROUTER_ALERT_ISOLATE: ipv6(c.IPV6_ROUTER_ALERT_ISOLATE, flag),
  IPV6_RTHDR: ipv6(c.IPV6_RTHDR, raw),
  IPV6_RTHDRDSTOPTS: ipv6(c.IPV6_RTHDRDSTOPTS, raw, { needs: 'CAP_NET_RAW' }),
  IPV6_TCLASS: ipv6(c.IPV6_TCLASS, int),
  IPV6_TRANSPARENT: ipv6(c.IPV6_TRANSPARENT, flag, { needs: 'CAP_NET_RAW' }),
  IPV6_UNICAST_HOPS: ipv6(c.IPV6_UNICAST_HOPS, int),
  IPV6_UNICAST_IF: ipv6(c.IPV6_UNICAST_IF, networkInt),
  IPV6_V6ONLY: ipv6(c.IPV6_V6ONLY, flag),
  IPV6_XFRM_POLICY: ipv6(c.IPV6_XFRM_POLICY, raw, {
    access: 'set',
    needs: 'CAP_NET_ADMIN',
    note: 'struct xfrm_userpolicy_info',
  }),
} as const;
