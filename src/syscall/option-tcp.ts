// The options of IPPROTO_TCP: tcp(7), linux/tcp.h.

import * as c from './constants.js';
import { md5Key } from './option-address-codec.js';
import {
  flag,
  int,
  raw,
  repairOptions,
  repairWindow,
  text,
  u32,
  zerocopyReceive,
} from './option-codec.js';
import { at, get, set } from './option-row.js';

const tcp = at(c.IPPROTO_TCP);
const ao = { since: '6.7', note: 'of kernels with CONFIG_TCP_AO (RFC 5925)' } as const;
const underRepair = 'of a socket with TCP_REPAIR';

/** Of TCP sockets. */
export const tcpOptions = {
  TCP_AO_ADD_KEY: tcp(c.TCP_AO_ADD_KEY, raw, { ...set, ...ao }),
  TCP_AO_DEL_KEY: tcp(c.TCP_AO_DEL_KEY, raw, { ...set, ...ao }),
  TCP_AO_GET_KEYS: tcp(c.TCP_AO_GET_KEYS, raw, { ...get, ...ao }),
  TCP_AO_INFO: tcp(c.TCP_AO_INFO, raw, ao),
  TCP_AO_REPAIR: tcp(c.TCP_AO_REPAIR, raw, ao),
  TCP_CC_INFO: tcp(c.TCP_CC_INFO, raw, get),
  TCP_CONGESTION: tcp(c.TCP_CONGESTION, text),
  TCP_CORK: tcp(c.TCP_CORK, flag),
  TCP_DEFER_ACCEPT: tcp(c.TCP_DEFER_ACCEPT, int, { unit: 's' }),
  TCP_DELACK_MAX_US: tcp(c.TCP_DELACK_MAX_US, int, { unit: 'us', since: '6.15' }),
  TCP_FASTOPEN: tcp(c.TCP_FASTOPEN, int),
  TCP_FASTOPEN_CONNECT: tcp(c.TCP_FASTOPEN_CONNECT, flag),
  TCP_FASTOPEN_KEY: tcp(c.TCP_FASTOPEN_KEY, raw),
  TCP_FASTOPEN_NO_COOKIE: tcp(c.TCP_FASTOPEN_NO_COOKIE, flag),
  TCP_INFO: tcp(c.TCP_INFO, raw, get),
  TCP_INQ: tcp(c.TCP_INQ, flag),
  TCP_IS_MPTCP: tcp(c.TCP_IS_MPTCP, flag, { ...get, since: '6.10' }),
  TCP_KEEPCNT: tcp(c.TCP_KEEPCNT, int),
  TCP_KEEPIDLE: tcp(c.TCP_KEEPIDLE, int, { unit: 's' }),
  TCP_KEEPINTVL: tcp(c.TCP_KEEPINTVL, int, { unit: 's' }),
  TCP_LINGER2: tcp(c.TCP_LINGER2, int, { unit: 's' }),
  TCP_MAXSEG: tcp(c.TCP_MAXSEG, int, { unit: 'bytes' }),
  TCP_MD5SIG: tcp(c.TCP_MD5SIG, md5Key, set),
  TCP_MD5SIG_EXT: tcp(c.TCP_MD5SIG_EXT, md5Key, set),
  TCP_NODELAY: tcp(c.TCP_NODELAY, flag),
  TCP_NOTSENT_LOWAT: tcp(c.TCP_NOTSENT_LOWAT, u32, { unit: 'bytes' }),
  TCP_QUEUE_SEQ: tcp(c.TCP_QUEUE_SEQ, u32, { note: underRepair }),
  TCP_QUICKACK: tcp(c.TCP_QUICKACK, flag),
  TCP_REPAIR: tcp(c.TCP_REPAIR, int, { needs: 'CAP_NET_ADMIN' }),
  TCP_REPAIR_OPTIONS: tcp(c.TCP_REPAIR_OPTIONS, repairOptions, {
    access: 'set',
    note: underRepair,
  }),
  TCP_REPAIR_QUEUE: tcp(c.TCP_REPAIR_QUEUE, int, { note: underRepair }),
  TCP_REPAIR_WINDOW: tcp(c.TCP_REPAIR_WINDOW, repairWindow, { note: underRepair }),
  TCP_RTO_MAX_MS: tcp(c.TCP_RTO_MAX_MS, int, { unit: 'ms', since: '6.15' }),
  TCP_RTO_MIN_US: tcp(c.TCP_RTO_MIN_US, int, { unit: 'us', since: '6.15' }),
  TCP_SAVED_SYN: tcp(c.TCP_SAVED_SYN, raw, get),
  TCP_SAVE_SYN: tcp(c.TCP_SAVE_SYN, int),
  TCP_SYNCNT: tcp(c.TCP_SYNCNT, int),
  TCP_THIN_DUPACK: tcp(c.TCP_THIN_DUPACK, flag),
  TCP_THIN_LINEAR_TIMEOUTS: tcp(c.TCP_THIN_LINEAR_TIMEOUTS, flag),
  TCP_TIMESTAMP: tcp(c.TCP_TIMESTAMP, u32, { note: 'set: of a socket with TCP_REPAIR' }),
  TCP_TX_DELAY: tcp(c.TCP_TX_DELAY, int, { unit: 'us' }),
  TCP_ULP: tcp(c.TCP_ULP, text),
  TCP_USER_TIMEOUT: tcp(c.TCP_USER_TIMEOUT, int, { unit: 'ms' }),
  TCP_WINDOW_CLAMP: tcp(c.TCP_WINDOW_CLAMP, int, { unit: 'bytes' }),
  TCP_ZEROCOPY_RECEIVE: tcp(c.TCP_ZEROCOPY_RECEIVE, zerocopyReceive, {
    access: 'get',
    note: 'says what is queued; without a mapping it maps nothing',
  }),
} as const;
