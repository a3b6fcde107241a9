import { lstatSync, unlinkSync, writeFileSync } from 'node:fs';
import type { Run } from '../experiment/record.js';
import { frameComments } from '../report/comments.js';
import { encodePcapng, type PcapngInterface } from '../report/pcapng.js';
import { CannotRun, type Io } from './command.js';

/** Writes the connection's packets; each says beside itself what it did to both ends. */
export function writeCapture(file: string, { frames, record }: Run, { chatter }: Io): void {
  const capture = record.observers.find(({ name }) => name === 'capture');
  if (capture?.available !== true) {
    throw new CannotRun(`${file} is not written: no capture: ${capture?.reason ?? record.reason}`);
  }
  const taps = [...new Set(frames.map(({ tap }) => tap))];
  const comment = `${record.scenario}, driver ${record.driver}: ${record.verdict}`;
  const interfaces = taps.map((name): PcapngInterface => {
    const own = frames.filter(({ tap }) => tap === name);
    const statistics = {
      timeNs: own.at(-1)?.realtimeNs ?? 0n,
      received: own.length,
      // Of two it is only known what both had no room for.
      ...(taps.length === 1 && { dropped: capture.lost ?? 0 }),
    };
    return { name, linkType: 'ethernet', comment, statistics };
  });
  const bytes = encodePcapng(
    frameComments(frames, record.events).map(({ tap, realtimeNs, bytes, wireLength, comment }) => ({
      timeNs: realtimeNs,
      bytes,
      originalLength: wireLength,
      interface: taps.indexOf(tap),
      ...(comment !== undefined && { comment }),
    })),
    { interfaces, application: 'closewait', os: `Linux ${record.kernel}` },
  );
  try {
    writeFileSync(file, bytes);
  } catch (error) {
    dropRest(file);
    throw new CannotRun(`${file} is not written: ${(error as Error).message}`);
  }
  chatter(`${frames.length} packets in ${file}`);
}

/** A capture that was cut short is no capture: where a disk is full, nothing is left on it. */
function dropRest(file: string): void {
  try {
    if (lstatSync(file, { bigint: true }).isFile()) unlinkSync(file);
  } catch {
    // Why it could not be written is what matters.
  }
}
