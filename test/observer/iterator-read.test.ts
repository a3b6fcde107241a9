import { spawn } from 'node:child_process';
import { readIterator } from '../../src/observer/iterator-read.js';
import * as sys from '../../src/syscall/sys.js';
import { ownedBy, test } from '../fixture/descriptors.js';

// An iterator says EAGAIN after a million objects without output; an empty pipe says it at once.
test('EAGAIN is not the end: the read is made again', (t) => {
  const owned = ownedBy(t);
  const [reader, writer] = sys.pipe2(sys.O_NONBLOCK | sys.O_CLOEXEC);
  owned.own(reader);
  owned.own(writer);
  const bytes = new Uint8Array(8);
  t.throws(() => sys.read(reader, bytes), { code: 'EAGAIN' });
  spawn('sh', ['-c', 'sleep 0.1; printf row'], { stdio: ['ignore', writer, 'inherit'] });
  owned.close(writer);
  t.is(readIterator(reader, bytes), 3);
  t.is(Buffer.from(bytes.subarray(0, 3)).toString(), 'row');
  t.is(readIterator(reader, bytes), 0);
});

test('another error is thrown', (t) => {
  t.throws(() => readIterator(-1, new Uint8Array(8)), { code: 'EBADF' });
});
