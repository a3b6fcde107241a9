import type { Segment } from '../tcp/segment.js';

/** What of a segment tells it from another. */
type Facts = Pick<Segment, 'source' | 'flags' | 'sequence' | 'acknowledgment' | 'payloadLength'>;

/**
 * The flags of segments in order, without those that were sent again where nobody had expected it: on a machine that is
 * slow a kernel's timer may run out before the story goes on, and that is not the story's affair. A repeat that is
 * expected counts, and so does everything that is new. By its flags alone a repeat can pass for the segment that is
 * expected next, from the other end: so it is left out or counted as all of the others need it.
 *
 * ECN is what two kernels agree on (net.ipv4.tcp_ecn; RFC 3168, section 6.1): its flags count where some are expected.
 */
export function flagsOf(
  frames: readonly { readonly segment: Facts }[],
  expected: readonly string[],
): string[] {
  const countsEcn = expected.some((flags) => ECN.test(flags));
  const segments = frames.map(({ segment }) => (countsEcn ? segment : withoutEcn(segment)));
  const all = segments.map((segment, at) => ({
    flags: segment.flags,
    isRepeat: segments.slice(0, at).some((earlier) => isSame(earlier, segment)),
  }));
  // How many of those expected there may have been so far.
  let counts = new Set([0]);
  for (const { flags, isRepeat } of all) {
    const met = [...counts].filter((count) => expected[count] === flags).map((count) => count + 1);
    counts = new Set(isRepeat ? [...counts, ...met] : met);
  }
  if (counts.has(expected.length)) return [...expected];
  const told: string[] = [];
  for (const { flags, isRepeat } of all) {
    if (!isRepeat || expected[told.length] === flags) told.push(flags);
  }
  return told;
}

/** ECE and CWR. */
const ECN = /[EW]+/;

const withoutEcn = (segment: Facts): Facts => ({
  ...segment,
  flags: segment.flags.replace(ECN, ''),
});

/** The same numbers from the same end. */
function isSame(earlier: Facts, later: Facts): boolean {
  const identity = identityOf(later);
  return (
    identity !== undefined &&
    earlier.source.port === later.source.port &&
    earlier.source.address === later.source.address &&
    identityOf(earlier) === identity
  );
}

/**
 * What a segment and the same that its end sends again have in common, and no other of that end; undefined of a reset, which is
 * never sent again. What it acknowledges may have grown meanwhile, unless that is all it does.
 */
export function identityOf({
  flags,
  sequence,
  acknowledgment,
  payloadLength,
}: Omit<Facts, 'source'>): string | undefined {
  if (flags.includes('R')) return undefined;
  const isBare = flags === '.' && payloadLength === 0;
  return [flags, sequence, payloadLength, ...(isBare ? [acknowledgment] : [])].join(' ');
}
