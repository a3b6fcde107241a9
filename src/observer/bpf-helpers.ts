/** BPF_FUNC_*: enum bpf_func_id in linux/bpf.h. */
export const BPF_FUNC_ktime_get_ns = 5;
export const BPF_FUNC_get_smp_processor_id = 8;
export const BPF_FUNC_get_current_pid_tgid = 14;
export const BPF_FUNC_get_socket_cookie = 46;
export const BPF_FUNC_probe_read_kernel = 113;
export const BPF_FUNC_jiffies64 = 118;
export const BPF_FUNC_seq_write = 127;
export const BPF_FUNC_ringbuf_reserve = 131;
export const BPF_FUNC_ringbuf_submit = 132;
export const BPF_FUNC_skc_to_tcp_sock = 137;
export const BPF_FUNC_skc_to_tcp_timewait_sock = 138;
export const BPF_FUNC_skc_to_tcp_request_sock = 139;
export const BPF_FUNC_sock_from_file = 162;

/** Flag of bpf_ringbuf_submit(). */
export const BPF_RB_NO_WAKEUP = 1;

/** Helpers that read kernel memory are for programs whose license is compatible with the GPL. */
export const LICENSE = 'Dual MIT/GPL';
