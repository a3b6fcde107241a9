import { type Cause, causeOf } from '../tcp/cause.js';
import { type SocketTable, timerName } from '../tcp/socket-table.js';
import { stateName } from '../tcp/states.js';

/** How many kinds of sockets there are. */
export const KINDS = 1 << 12;

const [RECV_Q, SEND_Q, NO_INODE, RETRANSMITS, SHARED] = [0x10, 0x20, 0x40, 0x80, 0x100];
const TIMER_SHIFT = 9;
const HOLDER = { pid: 1, fd: 0 };

/** The columns that decide on a cause. */
type Columns = Pick<SocketTable, 'state' | 'recvQ' | 'sendQ' | 'inode' | 'timer' | 'retransmits'>;

/**
 * The kind of the socket in a row: one number for all that decides on its cause. Thousands of sockets are of few kinds, so
 * that causes need not be found for each. What was `sent` meanwhile counts as what still has to be.
 */
export function kindAt(columns: Columns, row: number, shared: boolean, sent = false): number {
  const { state, recvQ, sendQ, inode, timer, retransmits } = columns;
  return (
    ((state[row] as number) & 0xf) |
    (recvQ[row] === 0 ? 0 : RECV_Q) |
    (sendQ[row] === 0 && !sent ? 0 : SEND_Q) |
    (inode[row] === 0 ? NO_INODE : 0) |
    (retransmits[row] === 0 ? 0 : RETRANSMITS) |
    (shared ? SHARED : 0) |
    (((timer[row] as number) & 7) << TIMER_SHIFT)
  );
}

/** The cause of all sockets of a kind, as causeOf() has it; undefined where nothing about them is suspicious. */
export function causeOfKind(kind: number): Cause | undefined {
  const bit = (mask: number): 0 | 1 => ((kind & mask) === 0 ? 0 : 1);
  return causeOf({
    state: stateName(kind & 0xf),
    recvQ: bit(RECV_Q),
    sendQ: bit(SEND_Q),
    inode: 1 - bit(NO_INODE),
    retransmits: bit(RETRANSMITS),
    timer: timerName(kind >> TIMER_SHIFT),
    holders: bit(SHARED) === 1 ? [HOLDER, HOLDER] : [HOLDER],
  })?.cause;
}

/** The kind of every ghost: CLOSE, held. */
export const GHOST = 7;
