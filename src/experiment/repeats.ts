import type { Segment } from '../tcp/segment.js';

/** What of a segment tells it from another. */
type Facts = Pick<Segment, 'source' | 'flags' | 'sequence' | 'acknowledgment' | 'payloadLength'>;

/**
 * The flags of segments in order, without those that were sent again where nobody had expected it: on a machine that is
 * slow a kernel's timer may run out before the story goes on, and that is not the story's affair. A repeat that is
 * expected counts, and so does everything that is new.
 */
export function flagsOf(
  frames: readonly { readonly segment: Facts }[],
  expected: readonly string[],
): string[] {
  const flags: string[] = [];
  for (const [at, { segment }] of frames.entries()) {
    const isExpected = expected[flags.length] === segment.flags;
    const isRepeat = frames.slice(0, at).some((earlier) => isSame(earlier.segment, segment));
    if (isExpected || !isRepeat) flags.push(segment.flags);
  }
  return flags;
}

/** The same numbers from the same end; what it acknowledges may have grown meanwhile, unless that is all it does. */
function isSame(earlier: Facts, later: Facts): boolean {
  const isBare = later.flags === '.' && later.payloadLength === 0;
  return (
    earlier.source.port === later.source.port &&
    earlier.source.address === later.source.address &&
    earlier.flags === later.flags &&
    earlier.sequence === later.sequence &&
    earlier.payloadLength === later.payloadLength &&
    !later.flags.includes('R') &&
    (!isBare || earlier.acknowledgment === later.acknowledgment)
  );
}
