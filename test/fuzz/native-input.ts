/** What a fuzzer's bytes are to a call of the addon: one argument after the other, and memory whose surroundings are watched. */
import { SEQUENCE, STEP_LENGTH } from '../../src/syscall/sequence.js';
import * as sys from '../../src/syscall/sys.js';

/** Bytes around an argument's own, and what they hold until somebody writes past its end. */
const GUARD = 64;
const UNTOUCHED = 0xa5;

/** Room that an argument has where the input says nothing about it: enough for any struct of these calls. */
const ROOM = 128;

const SLASH = 0x2f;
const EQUALS = 0x3d;
const UNDERSCORE = 0x5f;

const junk = [undefined, null, Number.NaN, 1.5, 2 ** 40, -(2 ** 53), 'x', {}];

type Buffers = ArrayBuffer | SharedArrayBuffer;

export class Input {
  readonly #bytes: Uint8Array;
  readonly #fds: readonly number[];
  readonly #guarded: { readonly buffer: Buffers; readonly end: number }[] = [];
  #at = 0;

  /** `fds` are the only descriptors that it gives. */
  constructor(bytes: Uint8Array, fds: readonly number[]) {
    this.#bytes = bytes;
    this.#fds = fds;
  }

  /** 0 where the input has ended. */
  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  word(): number {
    return this.byte() | (this.byte() << 8) | (this.byte() << 16) | (this.byte() << 24);
  }

  #take(length: number): Uint8Array {
    const taken = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += taken.length;
    return taken;
  }

  /** One of the first `among`, or what is none. */
  fd(among = this.#fds.length): unknown {
    const which = this.byte();
    if (which < 254) return this.#fds[which % among];
    return which === 254 ? -1 : junk[this.byte() % junk.length];
  }

  /** Two thirds of the numbers are small: the kernel's constants are. */
  number(): unknown {
    const kind = this.byte();
    if (kind < 176) return kind;
    return kind < 248 ? this.word() : junk[kind - 248];
  }

  #memory(content: Uint8Array, length: number, offset: number, shared = false): Buffers {
    const end = GUARD + offset + length;
    const buffer = shared ? new SharedArrayBuffer(end + GUARD) : new ArrayBuffer(end + GUARD);
    const all = new Uint8Array(buffer).fill(UNTOUCHED);
    all.fill(0, GUARD + offset, end).set(content, GUARD + offset);
    this.#guarded.push({ buffer, end });
    return buffer;
  }

  /** A typed array, or what may be taken for one. */
  bytes(content?: (length: number) => Uint8Array): unknown {
    const shape = this.byte();
    const length = this.byte() ^ ROOM;
    const filling = content?.(length) ?? this.#take(length);
    const memory = (offset = 0): Buffers => this.#memory(filling, length, offset);
    switch (shape) {
      case 1:
        return new Int32Array(memory(), GUARD, length >> 2);
      case 2:
        return new BigInt64Array(memory(), GUARD, length >> 3);
      case 3:
        return new Float64Array(memory(), GUARD, length >> 3);
      case 4:
        return new Uint8Array(memory(1), GUARD + 1, length);
      case 5:
        return new Uint8Array(this.#memory(filling, length, 0, true), GUARD, length);
      case 6: {
        const bytes = Uint8Array.from(filling);
        structuredClone(bytes, { transfer: [bytes.buffer] });
        return bytes;
      }
      case 7: {
        const buffer = Reflect.construct(ArrayBuffer, [length, { maxByteLength: 256 }]);
        const bytes = new Uint8Array(buffer as ArrayBuffer, 0, length);
        Reflect.apply(Reflect.get(buffer, 'resize') as (length: number) => void, buffer, [0]);
        return bytes;
      }
      case 8:
        return new DataView(memory());
      case 9:
        return junk[this.byte() % junk.length];
      default:
        return new Uint8Array(memory(), GUARD, length);
    }
  }

  /** Zeroes: no time at all. */
  zeroes(): unknown {
    return this.bytes(() => new Uint8Array());
  }

  /** Bytes, mostly with a NUL at their end. */
  text(change = (byte: number): number => byte): unknown {
    return this.bytes((length) => {
      const text = Uint8Array.from(this.#take(length), change);
      return text.length === length && this.byte() < 224 ? text.fill(0, -1) : text;
    });
  }

  /** A name in the working directory. */
  path(): unknown {
    return this.text((byte) => (byte === SLASH ? UNDERSCORE : byte));
  }

  /** An environment that sets nothing. */
  environment(): unknown {
    return this.text((byte) => (byte === EQUALS ? UNDERSCORE : byte));
  }

  program(): unknown {
    const path = this.byte() % 2 === 0 ? '/bin/true' : 'no such program';
    return this.byte() === 255 ? this.path() : Uint8Array.from(Buffer.from(`${path}\0`));
  }

  /** Three descriptors, and no latch: nobody would let a process on that waits there. */
  descriptors(): unknown {
    return this.bytes((length) => {
      const numbers = new Uint8Array(length);
      numbers.set(this.#take(length));
      return numbers.fill(0xff, 12, 16);
    });
  }

  /** Nothing is made, cut or written. */
  openFlags(): unknown {
    const harmless = sys.O_DIRECTORY | sys.O_PATH;
    const flags = this.number();
    const needed = sys.O_CLOEXEC | sys.O_NONBLOCK;
    return typeof flags === 'number' ? (flags & harmless) | needed : flags;
  }

  vectors(): unknown {
    const kind = this.byte();
    if (kind === 255) return junk[this.byte() % junk.length];
    const list = Array.from({ length: kind % 72 }, () => this.bytes());
    if (kind < 240) return list;
    const [first] = list;
    return Object.defineProperty(list, list.length, {
      get: () => {
        const buffer = first instanceof Uint8Array && first.length > 0 ? first.buffer : undefined;
        if (buffer instanceof ArrayBuffer) structuredClone(buffer, { transfer: [buffer] });
        return new Uint8Array(8);
      },
    });
  }

  /** Steps whose descriptors are those it may give, or made by a step before; no call of theirs blocks. */
  steps(): unknown {
    return this.bytes((length) => {
      const bytes = Uint8Array.from(this.#take(length));
      const numbers = new Int32Array(bytes.buffer, 0, bytes.length >> 2);
      const whats: number[] = [];
      const opens: number[] = [SEQUENCE.socket, SEQUENCE.accept];
      for (let at = 0; at + STEP_LENGTH <= numbers.length; at += STEP_LENGTH) {
        // Far out of range now and then: all the others would be refused for it.
        const kind = (numbers[at] ?? 0) & 0xff;
        const what = kind < 250 ? kind % Object.keys(SEQUENCE).length : kind;
        const fd = numbers[at + 1] ?? 0;
        const step = -1 - fd;
        numbers[at] = what;
        if (what === SEQUENCE.socket) numbers[at + 2] = (numbers[at + 2] ?? 0) | sys.SOCK_NONBLOCK;
        else if (fd >= 0 || (step < whats.length && !opens.includes(whats[step] ?? -1)))
          numbers[at + 1] = this.#fds[(fd >>> 0) % this.#fds.length] ?? -1;
        if (what === SEQUENCE.accept) numbers[at + 2] = sys.SOCK_NONBLOCK;
        whats.push(what);
      }
      // What is left is no step, and takes part in none.
      return bytes;
    });
  }

  /** Throws where somebody wrote outside of what was given. */
  check(): void {
    for (const { buffer, end } of this.#guarded) {
      if (buffer.byteLength === 0) continue; // detached: its memory is another's
      const all = new Uint8Array(buffer);
      const around = [...all.subarray(0, GUARD), ...all.subarray(end)];
      if (around.some((byte) => byte !== UNTOUCHED)) {
        throw new Error(
          `written outside of ${end - GUARD} bytes: ${Buffer.from(all).toString('hex')}`,
        );
      }
    }
  }
}
