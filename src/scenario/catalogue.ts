import { abort } from './abort.js';
import {
  acceptQueueCloseWait,
  acceptQueueOverflow,
  listenerClosed,
  rstBeforeAccept,
} from './accept-queue.js';
import { adminKill } from './admin-kill.js';
import { challengeAck, synInEstablished } from './challenge-ack.js';
import { closeWait } from './close-wait.js';
import { eofUnread, stillSending } from './close-wait-causes.js';
import { closeWithUnreadData } from './close-with-unread-data.js';
import { closing, rstInClosing } from './closing.js';
import { keepaliveDeath, userTimeout } from './dead-peer.js';
import { disconnect } from './disconnect.js';
import { eofThenEpipe } from './eof-then-epipe.js';
import {
  duplicateFin,
  finRetransmission,
  finTimeout,
  finWait1,
  finWithAck,
  lostFin,
} from './fin-wait1.js';
import { finWait1Stuck } from './fin-wait1-stuck.js';
import { finWait2Expiry } from './fin-wait2-expiry.js';
import { finWait2Held } from './fin-wait2-held.js';
import { ghostFd } from './ghost-fd.js';
import { halfCloseResponse } from './half-close-response.js';
import { halfOpenDiscovered } from './half-open-discovered.js';
import { delayedFinAck, lastAck } from './last-ack.js';
import { lastAckStuck } from './last-ack-stuck.js';
import { lingerBlocks } from './linger-blocks.js';
import { linger2Expiry, linger2Negative } from './linger2.js';
import { nodeDestroyPending, nodeDestroySoon } from './node-destroy-pending.js';
import { nodeGhost, nodeHalfOpen } from './node-half-open.js';
import {
  nodeHttpClose,
  nodeHttpKeepAlive,
  nodeHttpUnread,
  nodeHttpUnreadBody,
  nodeUpgradeLeak,
} from './node-http.js';
import { nodeLoopBlocked } from './node-loop-blocked.js';
import { nodeResetAfterEnd } from './node-reset-after-end.js';
import { nodeDestroyUnread, nodePaused, nodeResetAsEnd, nodeUnreadByte } from './node-unread.js';
import { normal } from './normal.js';
import { connectionRefused, fastOpen } from './opening.js';
import { outOfOrderFin } from './out-of-order-fin.js';
import { portExhaustion } from './port-exhaustion.js';
import { resetUnderBlockedWrite } from './reset-under-blocked-write.js';
import type { Scenario } from './scenario.js';
import { serverFirst } from './server-first.js';
import { closeUnderBlockedRead, dupFdNoFin, sharedFd } from './shared-descriptor.js';
import { shutdownBoth, shutdownRead } from './shutdown.js';
import { halfOpenReset, silentDeath } from './silent-death.js';
import {
  rstAfterSimultaneousOpen,
  simultaneousOpen,
  simultaneousOpenBoth,
  synRecvClosed,
} from './simultaneous-open.js';
import { finInSynRecv, rstInSynRecv, synRecv } from './syn-recv.js';
import { rstInSynSent, synSent, synSentClosed } from './syn-sent.js';
import { timeWaitBlocks, timeWaitExpiry, timeWaitOverflow, timeWaitReuse } from './time-wait.js';
import { timeWaitAssassination, timeWaitNewSyn } from './time-wait-assassination.js';
import { zeroWindowClose } from './zero-window-close.js';
import { zeroWindowFinWait1 } from './zero-window-fin-wait1.js';

/** Every scenario, in the order they are listed and run. */
export const catalogue: readonly Scenario[] = [
  closeWait,
  finWait2Expiry,
  normal,
  serverFirst,
  finWait2Held,
  halfCloseResponse,
  closeWithUnreadData,
  abort,
  lingerBlocks,
  zeroWindowFinWait1,
  lastAckStuck,
  finWait1Stuck,
  eofThenEpipe,
  keepaliveDeath,
  userTimeout,
  silentDeath,
  halfOpenReset,
  acceptQueueCloseWait,
  acceptQueueOverflow,
  rstBeforeAccept,
  listenerClosed,
  portExhaustion,
  dupFdNoFin,
  sharedFd,
  closeUnderBlockedRead,
  resetUnderBlockedWrite,
  eofUnread,
  stillSending,
  linger2Negative,
  linger2Expiry,
  adminKill,
  disconnect,
  ghostFd,
  shutdownRead,
  shutdownBoth,
  connectionRefused,
  fastOpen,
  timeWaitBlocks,
  timeWaitReuse,
  timeWaitOverflow,
  timeWaitExpiry,
  nodeUnreadByte,
  nodePaused,
  nodeLoopBlocked,
  nodeHalfOpen,
  nodeGhost,
  nodeResetAfterEnd,
  nodeDestroyUnread,
  nodeResetAsEnd,
  nodeDestroyPending,
  nodeDestroySoon,
  nodeUpgradeLeak,
  nodeHttpClose,
  nodeHttpUnread,
  nodeHttpUnreadBody,
  nodeHttpKeepAlive,
  synSent,
  synSentClosed,
  rstInSynSent,
  synRecv,
  rstInSynRecv,
  finInSynRecv,
  simultaneousOpen,
  simultaneousOpenBoth,
  synRecvClosed,
  rstAfterSimultaneousOpen,
  finWait1,
  lostFin,
  duplicateFin,
  delayedFinAck,
  finRetransmission,
  finTimeout,
  finWithAck,
  lastAck,
  closing,
  rstInClosing,
  timeWaitAssassination,
  timeWaitNewSyn,
  outOfOrderFin,
  zeroWindowClose,
  challengeAck,
  synInEstablished,
  halfOpenDiscovered,
];
