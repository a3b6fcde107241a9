import { writeFileSync } from 'node:fs';
import type { Run } from '../experiment/record.js';
import { frameComments } from '../report/comments.js';
import { encodePcapng } from '../report/pcapng.js';
import { CannotRun, type Io } from './command.js';

/** Writes the connection's packets; each says beside itself what it did to both ends. */
export function writeCapture(file: string, { frames, record }: Run, { chatter }: Io): void {
  const capture = record.observers.find(({ name }) => name === 'capture');
  if (capture?.available !== true) {
    throw new CannotRun(`${file} is not written: no capture: ${capture?.reason ?? record.reason}`);
  }
  const last = frames.at(-1);
  const bytes = encodePcapng(
    frameComments(frames, record.events).map(({ realtimeNs, bytes, comment }) => ({
      timeNs: realtimeNs,
      bytes,
      ...(comment !== undefined && { comment }),
    })),
    {
      linkType: 'ethernet',
      interfaceName: 'lo',
      interfaceComment: `${record.scenario}, driver ${record.driver}: ${record.verdict}`,
      application: 'closewait',
      os: `Linux ${record.kernel}`,
      ...(last && {
        statistics: {
          timeNs: last.realtimeNs,
          received: frames.length,
          dropped: capture.lost ?? 0,
        },
      }),
    },
  );
  try {
    writeFileSync(file, bytes);
  } catch (error) {
    throw new CannotRun(`${file} is not written: ${(error as Error).message}`);
  }
  chatter(`${frames.length} packets in ${file}`);
}
