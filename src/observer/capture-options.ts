import { atLeast, type Checks, checkBoolean, checkMs, integer, objectOf } from '../tcp/argument.js';
import { PACKET_FILTER, type PacketFilter } from '../tcp/packet-filter.js';
import type { RingSize } from '../tcp/packet-ring.js';

/** How much to capture and to keep. */
export interface CaptureOptions {
  /** Which packets; the kernel sorts the others out. Left out: all. */
  readonly filter?: PacketFilter;
  /** At most this many bytes of each. Left out: all, up to a block of the ring. */
  readonly snaplen?: number;
  /** The ring's size, or false for none. Left out: 64 blocks of 128 KiB, handed over every 4 ms. */
  readonly ring?: RingSize | false;
  /** What `frames` may come to, some 300 bytes a frame not counted; a frame beyond is discarded and counted. Left out: 64 MiB, 250,000 frames. */
  readonly limit?: { readonly bytes?: number; readonly frames?: number };
  /**
   * Asks for the interface's own time stamps, where it has been told to make them (SIOCSHWTSTAMP). They are of the
   * interface's clock: `monotonicNs` of such a frame is as good as that clock follows CLOCK_REALTIME.
   */
  readonly hardwareStamps?: boolean;
}

/** All of a frame. */
export const MOST_SNAPLEN = 0x7fff_ffff;

const checkRing = objectOf<RingSize>({
  blockBytes: integer(1, 2 ** 31 - 1),
  blocks: integer(1, 2 ** 31 - 1),
  retireMs: checkMs,
});
export const CAPTURE_OPTIONS: Checks<CaptureOptions> = {
  filter: objectOf(PACKET_FILTER),
  snaplen: integer(1, MOST_SNAPLEN),
  ring: (what, ring) => {
    if (ring !== false) checkRing(what, ring);
  },
  limit: objectOf<NonNullable<CaptureOptions['limit']>>({ bytes: atLeast(0), frames: atLeast(0) }),
  hardwareStamps: checkBoolean,
};
