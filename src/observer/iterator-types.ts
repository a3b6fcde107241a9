import type { Btf } from '../tcp/btf.js';
import { whole } from './bpf-types.js';

const CONNECTION = 'inet_conn.';
const SOCKET = 'inet_conn.icsk_inet.sk.';

/** Where a TCP socket keeps what a row tells of it, in this kernel. */
export type SocketTypes = NonNullable<ReturnType<typeof socketTypes>>;

/** Undefined where the kernel's types do not tell, as without IPv6. */
export function socketTypes(btf: Btf) {
  const common = (member: string) => btf.offsetOf('sock_common', member);
  const tcp = (member: string) => btf.offsetOf('tcp_sock', member);
  const types = whole({
    iterator: btf.functionId('bpf_iter_tcp'),
    contextMeta: btf.offsetOf('bpf_iter__tcp', 'meta'),
    contextSocket: btf.offsetOf('bpf_iter__tcp', 'sk_common'),
    contextUid: btf.offsetOf('bpf_iter__tcp', 'uid'),
    metaSeq: btf.offsetOf('bpf_iter_meta', 'seq'),

    family: common('skc_family'),
    state: common('skc_state'),
    port: common('skc_num'),
    remotePort: common('skc_dport'),
    address: common('skc_rcv_saddr'),
    remoteAddress: common('skc_daddr'),
    address6: common('skc_v6_rcv_saddr'),
    remoteAddress6: common('skc_v6_daddr'),
    interface: common('skc_bound_dev_if'),
    cookie: common('skc_cookie'),

    file: tcp(`${SOCKET}sk_socket`),
    fileInode: btf.offsetOf('socket_alloc', 'vfs_inode.i_ino'),
    shutdown: tcp(`${SOCKET}sk_shutdown`),
    ackBacklog: tcp(`${SOCKET}sk_ack_backlog`),
    maxAckBacklog: tcp(`${SOCKET}sk_max_ack_backlog`),
    receiveNext: tcp('rcv_nxt'),
    copied: tcp('copied_seq'),
    written: tcp('write_seq'),
    unacknowledged: tcp('snd_una'),
    pending: tcp(`${CONNECTION}icsk_pending`),
    retransmits: tcp(`${CONNECTION}icsk_retransmits`),
    probes: tcp(`${CONNECTION}icsk_probes_out`),
    // Members that have moved: the older place first.
    retransmitExpires:
      tcp(`${CONNECTION}icsk_timeout`) ??
      tcp(`${CONNECTION}icsk_retransmit_timer.expires`) ??
      tcp(`${SOCKET}tcp_retransmit_timer.expires`),
    keepalivePending:
      tcp(`${SOCKET}sk_timer.entry.pprev`) ?? tcp(`${CONNECTION}icsk_keepalive_timer.entry.pprev`),
    keepaliveExpires:
      tcp(`${SOCKET}sk_timer.expires`) ?? tcp(`${CONNECTION}icsk_keepalive_timer.expires`),

    waitState: btf.offsetOf('tcp_timewait_sock', 'tw_sk.tw_substate'),
    waitExpires: btf.offsetOf('tcp_timewait_sock', 'tw_sk.tw_timer.expires'),
    requestRetransmits: btf.offsetOf('tcp_request_sock', 'req.req.num_retrans'),
    requestExpires: btf.offsetOf('tcp_request_sock', 'req.req.rsk_timer.expires'),
  });
  // Since Linux 6.17 the socket itself has it.
  return types && { ...types, inode: tcp(`${SOCKET}sk_ino`) };
}

/** Where this kernel has its hash table of connections, and what the iterator itself touches of each. */
export type TableTypes = NonNullable<ReturnType<typeof tableTypes>>;

/** Undefined where the kernel's types do not tell, or before Linux 6.2, which has no bpf_rdonly_cast(). */
export function tableTypes(btf: Btf) {
  return whole({
    cast: btf.functionId('bpf_rdonly_cast'),
    socket: btf.structId('tcp_sock'),
    hash: btf.offsetOf('sock_common', 'skc_hash'),
    node: btf.offsetOf('sock_common', 'skc_nulls_node'),
    net: btf.offsetOf('sock_common', 'skc_net.net'),
    info: btf.offsetOf('net', 'ipv4.tcp_death_row.hashinfo'),
    buckets: btf.offsetOf('inet_hashinfo', 'ehash'),
    mask: btf.offsetOf('inet_hashinfo', 'ehash_mask'),
    references: btf.offsetOf('sock_common', 'skc_refcnt'),
    lock: btf.offsetOf('sock', 'sk_lock'),
    deferred: btf.offsetOf('sock', 'sk_tsq_flags'),
    owner: btf.offsetOf('sock', 'sk_uid'),
  });
}
