// Every system call this addon can make, one row each.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include "bpf.h"
#include "call.h"
#include "forget.h"
#include "perf.h"
#include "sequence.h"
#include "spawn.h"

namespace closewait::os {

// inet_pton(3): 1, or 0 if the text is no address of that family.
long PresentationToNetwork(Call& call);

// inet_ntop(3): the length of the text.
long NetworkToPresentation(Call& call);

// recvmsg(2), and what it wrote into the struct msghdr.
long ReceiveMessage(Call& call);

// getsockopt(2), told its room in the unit that the option counts in; -EINVAL where the kernel
// would write past it.
long GetSocketOption(Call& call);

namespace rows {

using enum Arg;

constexpr unsigned kTimespec = sizeof(struct timespec);
constexpr unsigned kPair = 2 * sizeof(int);

// A call whose result is what the kernel returned.
constexpr CallSpec Value(const char* name, long number, Parameter a = {}, Parameter b = {},
                         Parameter c = {}, Parameter d = {}, Parameter e = {}, Parameter f = {}) {
  return {name, number, {a, b, c, d, e, f}, false, false, nullptr};
}

// A call that fills the first `result` bytes of its buffer.
constexpr CallSpec Fill(const char* name, long number, Parameter a = {}, Parameter b = {},
                        Parameter c = {}, Parameter d = {}, Parameter e = {}, Parameter f = {}) {
  return {name, number, {a, b, c, d, e, f}, false, true, nullptr};
}

// A call that returns 0 and says through a socklen_t how much it wrote.
constexpr CallSpec Measure(const char* name, long number, Parameter a = {}, Parameter b = {},
                           Parameter c = {}, Parameter d = {}, Parameter e = {}) {
  return {name, number, {a, b, c, d, e}, true, false, nullptr};
}

// A call that makes descriptors.
constexpr CallSpec Opens(CallSpec spec, void (*forget)(Call& call) = ForgetResult) {
  spec.forget = forget;
  return spec;
}

constexpr Parameter kFd = {kInt, "fd", 0};
constexpr Parameter kFlags = {kInt, "flags", 0};
constexpr Parameter kReceiveFlags = {kReceive, "flags", 0};
constexpr Parameter kNothing = {kNull, "", 0};
constexpr Parameter kItsLength = {kLength, "", 0};
constexpr Parameter kItsCapacity = {kCapacity, "", 0};

// clang-format off
inline constexpr CallSpec kCalls[] = {
    Opens(Value("socket", SYS_socket, {kInt, "domain"}, {kInt, "type"}, {kInt, "protocol"})),
    Opens(Value("socketpair", SYS_socketpair, {kInt, "domain"}, {kInt, "type"}, {kInt, "protocol"}, {kOut, "sv", kPair}), ForgetPair),
    Value("bind", SYS_bind, kFd, {kIn, "address"}, kItsLength),
    Value("listen", SYS_listen, kFd, {kInt, "backlog"}),
    Opens(Value("accept", SYS_accept, kFd, {kOut, "address"}, kItsCapacity)),
    Opens(Value("accept4", SYS_accept4, kFd, {kOut, "address"}, kItsCapacity, kFlags)),
    Value("connect", SYS_connect, kFd, {kIn, "address"}, kItsLength),
    Fill("read", SYS_read, kFd, {kOut, "buffer"}, kItsLength),
    Value("write", SYS_write, kFd, {kIn, "data"}, kItsLength),
    Fill("readv", SYS_readv, kFd, {kVectorOut, "buffers"}),
    Value("writev", SYS_writev, kFd, {kVectorIn, "data"}),
    Fill("recv", SYS_recvfrom, kFd, {kOut, "buffer"}, kItsLength, kReceiveFlags, kNothing, kNothing),
    Value("send", SYS_sendto, kFd, {kIn, "data"}, kItsLength, kFlags, kNothing, kNothing),
    Value("sendto", SYS_sendto, kFd, {kIn, "data"}, kItsLength, kFlags, {kIn, "address"}, kItsLength),
    Opens({"recvmsg", SYS_recvmsg, {kFd, {kMessageOut, "message"}, kReceiveFlags}, false, true, ReceiveMessage}, ForgetControl),
    Value("sendmsg", SYS_sendmsg, kFd, {kMessageIn, "message"}, kFlags),
    Value("shutdown", SYS_shutdown, kFd, {kInt, "how"}),
    Value("close", SYS_close, kFd),
    Opens(Value("dup", SYS_dup, kFd)),
    Value("dup3", SYS_dup3, kFd, {kInt, "newfd"}, kFlags),
    Measure("getsockname", SYS_getsockname, kFd, {kOut, "address"}, kItsCapacity),
    Measure("getpeername", SYS_getpeername, kFd, {kOut, "address"}, kItsCapacity),
    Opens({"getsockopt", SYS_getsockopt, {kFd, {kInt, "level"}, {kInt, "name"}, {kInOut, "value"}, kItsCapacity}, true, false, GetSocketOption}, ForgetOption),
    Value("setsockopt", SYS_setsockopt, kFd, {kInt, "level"}, {kInt, "name"}, {kIn, "value"}, kItsLength),
    Value("setfilter", SYS_setsockopt, kFd, {kInt, "level"}, {kInt, "name"}, {kFilter, "program"}),
#ifdef SYS_poll
    Value("poll", SYS_poll, {kInOut, "fds"}, {kPolls, ""}, {kInt, "timeout"}),
#endif
    Value("ppoll", SYS_ppoll, {kInOut, "fds"}, {kPolls, ""}, {kIn, "timeout", kTimespec}, kNothing, kNothing),
    Opens(Value("fcntl", SYS_fcntl, kFd, {kFcntl, "command"}, {kInt, "argument"}), ForgetDuplicate),
    Opens(Value("ioctl", SYS_ioctl, kFd, {kIoctl, "request"}, {kInOut, "argument"}), ForgetNamespace),
    Opens(Value("epoll_create1", SYS_epoll_create1, kFlags)),
    Value("epoll_ctl", SYS_epoll_ctl, {kInt, "epfd"}, {kInt, "op"}, kFd, {kEpollEvent, "event"}),
#ifdef SYS_epoll_wait
    Value("epoll_wait", SYS_epoll_wait, {kInt, "epfd"}, {kOut, "events", sizeof(epoll_event)}, {kEpolls, ""}, {kInt, "timeout"}),
#else
    Value("epoll_wait", SYS_epoll_pwait, {kInt, "epfd"}, {kOut, "events", sizeof(epoll_event)}, {kEpolls, ""}, {kInt, "timeout"}, kNothing, kNothing),
#endif
    Opens(Value("eventfd", SYS_eventfd2, {kUnsigned, "initval"}, kFlags)),
    Opens(Value("pipe2", SYS_pipe2, {kOut, "pipefd", kPair}, kFlags), ForgetPair),
    Opens(Value("open", SYS_openat, {kCwd, ""}, {kString, "path"}, kFlags, {kInt, "mode"})),
    Opens(Value("openat", SYS_openat, {kInt, "dirfd"}, {kString, "path"}, kFlags, {kInt, "mode"})),
    Value("lseek", SYS_lseek, kFd, {kOffset, "offset"}, {kInt, "whence"}),
    Fill("getdents64", SYS_getdents64, kFd, {kOut, "dirp"}, kItsLength),
    Fill("readlinkat", SYS_readlinkat, {kInt, "dirfd"}, {kString, "path"}, {kOut, "buf"}, kItsLength),
    Value("getxattr", SYS_getxattr, {kString, "path"}, {kString, "name"}, {kOut, "value"}, kItsLength),
    Value("clock_gettime", SYS_clock_gettime, {kInt, "clock"}, {kOut, "time", kTimespec}),
    Value("clock_getres", SYS_clock_getres, {kInt, "clock"}, {kOut, "resolution", kTimespec}),
    Value("clock_nanosleep", SYS_clock_nanosleep, {kInt, "clock"}, kFlags, {kIn, "request", kTimespec}, {kOut, "remain", kTimespec}),
    Value("gettid", SYS_gettid),
    Value("setns", SYS_setns, kFd, {kInt, "nstype"}),
    Value("unshare", SYS_unshare, {kUnsigned, "flags"}),
    Opens(Value("pidfd_open", SYS_pidfd_open, {kInt, "pid"}, {kUnsigned, "flags"})),
    Opens(Value("pidfd_getfd", SYS_pidfd_getfd, {kInt, "pidfd"}, {kInt, "targetfd"}, {kUnsigned, "flags"})),
    Value("pidfd_send_signal", SYS_pidfd_send_signal, {kInt, "pidfd"}, {kInt, "signal"}, kNothing, kNothing),
    Value("waitid", SYS_waitid, {kInt, "idtype"}, {kInt, "id"}, {kOut, "info", sizeof(siginfo_t)}, {kInt, "options"}, kNothing),
    Opens(Value("fsopen", SYS_fsopen, {kString, "fsname"}, {kUnsigned, "flags"})),
    Value("fsconfig", SYS_fsconfig, kFd, {kUnsigned, "cmd"}, kNothing, kNothing, kNothing),
    Opens(Value("fsmount", SYS_fsmount, kFd, {kUnsigned, "flags"}, {kUnsigned, "attr_flags"})),
    Opens({"perf_event_open", 0, {{kInOut, "attr", PERF_ATTR_SIZE_VER0}, {kInt, "pid"}, {kInt, "cpu"}, {kInt, "group_fd"}, {kUnsigned, "flags"}}, false, false, PerfEventOpen}),
    {"perf_set_bpf", 0, {kFd, {kInt, "prog_fd"}}, false, false, PerfSetBpf},
    {"perf_set_output", 0, {kFd, {kInt, "output_fd"}}, false, false, PerfSetOutput},
    {"perf_set_filter", 0, {kFd, {kString, "filter"}}, false, false, PerfSetFilter},
    Opens({"bpf_map_create", 0, {{kUnsigned, "map_type"}, {kUnsigned, "key_size"}, {kUnsigned, "value_size"}, {kUnsigned, "max_entries"}, {kUnsigned, "map_flags"}}, false, false, BpfMapCreate}),
    Opens({"bpf_prog_load", 0, {{kUnsigned, "prog_type"}, {kUnsigned, "expected_attach_type"}, {kUnsigned, "attach_btf_id"}, {kIn, "insns"}, {kString, "license"}, {kOut, "log"}}, false, false, BpfProgLoad}),
    {"bpf_info", 0, {kFd, {kOut, "info"}}, false, false, BpfInfo},
    Opens({"bpf_raw_tracepoint_open", 0, {{kInt, "prog_fd"}}, false, false, BpfRawTracepointOpen}),
    Opens({"bpf_link_create", 0, {{kInt, "prog_fd"}, {kInt, "target_fd"}, {kUnsigned, "attach_type"}}, false, false, BpfLinkCreate}),
    Opens({"bpf_iter_create", 0, {{kInt, "link_fd"}}, false, false, BpfIterCreate}),
    {"inet_pton", 0, {{kInt, "family"}, {kString, "text"}, {kOut, "address", 16}}, false, false, PresentationToNetwork},
    {"inet_ntop", 0, {{kInt, "family"}, {kIn, "address", 4}, {kOut, "text", INET6_ADDRSTRLEN}}, false, false, NetworkToPresentation},
    {"sequence", 0, {{kIn, "steps"}, {kInOut, "bytes"}, {kOut, "results"}, {kOut, "stamps"}}, false, false, Sequence},
    Opens({"spawn", 0, {{kString, "path"}, {kString, "argv"}, {kString, "envp"}, {kIn, "stdio", 4 * sizeof(int)}, {kUnsigned, "flags"}, {kOut, "child", 3 * sizeof(int)}}, false, false, Spawn}, ForgetProgram),
};
// clang-format on

}  // namespace rows

using rows::kCalls;
inline constexpr int kCallCount = sizeof(kCalls) / sizeof(kCalls[0]);

}  // namespace closewait::os
