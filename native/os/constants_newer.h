// Options and control messages of kernels newer than the headers may be: Debian 12 builds with
// those of Linux 6.1. These numbers are the kernel's interface and never change, but no file at run
// time tells them. Where the headers have a name, theirs counts, and
// test/syscall/10-constant.test.ts compares.
#pragma once

#ifndef SO_PASSPIDFD  // Linux 6.5
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD  // Linux 6.5
#define SO_PEERPIDFD 77
#endif
#ifndef SO_DEVMEM_DONTNEED  // Linux 6.12
#define SO_DEVMEM_DONTNEED 80
#endif
#ifndef SO_RCVPRIORITY  // Linux 6.14
#define SO_RCVPRIORITY 82
#endif
#ifndef SO_PASSRIGHTS  // Linux 6.16
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_INQ  // Linux 6.17
#define SO_INQ 84
#endif

#ifndef SCM_SECURITY  // of the kernel's inside, like the next one, until the C library had them
#define SCM_SECURITY 3
#endif
#ifndef SCM_PIDFD  // Linux 6.5
#define SCM_PIDFD 4
#endif
#ifndef SCM_INQ  // Linux 6.17
#define SCM_INQ SO_INQ
#endif

#ifndef IP_LOCAL_PORT_RANGE  // Linux 6.3
#define IP_LOCAL_PORT_RANGE 51
#endif
#ifndef IP_PROTOCOL  // Linux 6.4
#define IP_PROTOCOL 52
#endif

#ifndef TCP_AO_ADD_KEY  // Linux 6.7
#define TCP_AO_ADD_KEY 38
#endif
#ifndef TCP_AO_DEL_KEY  // Linux 6.7
#define TCP_AO_DEL_KEY 39
#endif
#ifndef TCP_AO_INFO  // Linux 6.7
#define TCP_AO_INFO 40
#endif
#ifndef TCP_AO_GET_KEYS  // Linux 6.7
#define TCP_AO_GET_KEYS 41
#endif
#ifndef TCP_AO_REPAIR  // Linux 6.7
#define TCP_AO_REPAIR 42
#endif
#ifndef TCP_IS_MPTCP  // Linux 6.10
#define TCP_IS_MPTCP 43
#endif
#ifndef TCP_RTO_MAX_MS  // Linux 6.15
#define TCP_RTO_MAX_MS 44
#endif
#ifndef TCP_RTO_MIN_US  // Linux 6.15
#define TCP_RTO_MIN_US 45
#endif
#ifndef TCP_DELACK_MAX_US  // Linux 6.15
#define TCP_DELACK_MAX_US 46
#endif
