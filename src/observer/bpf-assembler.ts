/** A BPF register: r0 results, r1..r5 arguments, r6..r9 kept over calls, r10 the frame, read only. */
export type Register = `r${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10}`;

/** Classes, sizes, modes and operations of an instruction's code: linux/bpf_common.h, linux/bpf.h. */
const code = {
  LD: 0x00,
  LDX: 0x01,
  ST: 0x02,
  STX: 0x03,
  JMP: 0x05,
  JMP32: 0x06,
  ALU: 0x04,
  ALU64: 0x07,
  IMM: 0x00,
  MEM: 0x60,
  ATOMIC: 0xc0,
  ADD: 0x00,
  SUB: 0x10,
  MUL: 0x20,
  DIV: 0x30,
  AND: 0x50,
  LSH: 0x60,
  RSH: 0x70,
  ARSH: 0xc0,
  END: 0xd0,
  MOV: 0xb0,
  CALL: 0x80,
  EXIT: 0x90,
  JA: 0x00,
  K: 0x00,
  X: 0x08,
} as const;
const sizes = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 } as const;
/** `s<` is of signed numbers; `&` asks for a bit in common. */
const comparisons = { '==': 0x10, '!=': 0x50, '&': 0x40, 's<': 0xc0 } as const;

/** What the second register field of a wide load says its number is: linux/bpf.h. */
const BPF_PSEUDO_MAP_FD = 1;
const BPF_PSEUDO_MAP_VALUE = 2;
/** What it says in a call of a function of the kernel. */
const BPF_PSEUDO_KFUNC_CALL = 2;

/** Bytes a load or store moves. */
export type Size = keyof typeof sizes;
type Comparison = keyof typeof comparisons;

const INSTRUCTION_SIZE = 8;

interface Instruction {
  readonly code: number;
  readonly dst?: Register;
  /** A register, or what the field says in a wide load. */
  readonly src?: Register | number;
  readonly offset?: number;
  readonly imm?: number;
  readonly label?: string;
}

/** Writes a BPF program down, instruction by instruction; each method is one instruction (RFC 9669) unless it says so. */
export class Assembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  /** dst = src */
  move(dst: Register, src: Register | number): this {
    return this.#operate(code.MOV, dst, src);
  }

  /** dst += src */
  add(dst: Register, src: Register | number): this {
    return this.#operate(code.ADD, dst, src);
  }

  /** dst -= src */
  subtract(dst: Register, src: Register | number): this {
    return this.#operate(code.SUB, dst, src);
  }

  /** dst *= src */
  multiply(dst: Register, src: Register | number): this {
    return this.#operate(code.MUL, dst, src);
  }

  /** dst /= src, without signs; 0 for src = 0 */
  divide(dst: Register, src: Register | number): this {
    return this.#operate(code.DIV, dst, src);
  }

  /** dst &= src */
  and(dst: Register, src: Register | number): this {
    return this.#operate(code.AND, dst, src);
  }

  /** dst <<= src */
  shiftLeft(dst: Register, src: Register | number): this {
    return this.#operate(code.LSH, dst, src);
  }

  /** dst >>= src, zeros coming in */
  shiftRight(dst: Register, src: Register | number): this {
    return this.#operate(code.RSH, dst, src);
  }

  /** dst >>= src, copies of the sign coming in */
  shiftRightSigned(dst: Register, src: Register | number): this {
    return this.#operate(code.ARSH, dst, src);
  }

  /** dst = the 16 bits of dst from network to host order, the rest zero */
  ntohs(dst: Register): this {
    return this.#put({ code: code.ALU | code.END | code.X, dst, imm: 16 });
  }

  #operate(operation: number, dst: Register, src: Register | number): this {
    return typeof src === 'number'
      ? this.#put({ code: code.ALU64 | operation | code.K, dst, imm: src })
      : this.#put({ code: code.ALU64 | operation | code.X, dst, src });
  }

  /** dst = `size` bytes at base + offset, the rest of the register zero */
  load(dst: Register, size: Size, base: Register, offset: number): this {
    return this.#put({ code: code.LDX | code.MEM | sizes[size], dst, src: base, offset });
  }

  /** `size` bytes at base + offset = src */
  store(size: Size, base: Register, offset: number, src: Register | number): this {
    const how = code.MEM | sizes[size];
    return typeof src === 'number'
      ? this.#put({ code: code.ST | how, dst: base, offset, imm: src })
      : this.#put({ code: code.STX | how, dst: base, offset, src });
  }

  /** 8 bytes at base + offset += src, in one piece for all CPUs */
  atomicAdd(base: Register, offset: number, src: Register): this {
    const how = code.STX | code.ATOMIC | sizes[8];
    return this.#put({ code: how, dst: base, offset, src, imm: code.ADD });
  }

  /** dst = the map of descriptor `fd`. Takes the room of two instructions. */
  map(dst: Register, fd: number): this {
    return this.#wide(dst, BPF_PSEUDO_MAP_FD, fd);
  }

  /** dst = the address of the first value of array map `fd`. Takes the room of two instructions. */
  mapValue(dst: Register, fd: number): this {
    return this.#wide(dst, BPF_PSEUDO_MAP_VALUE, fd);
  }

  #wide(dst: Register, src: number, imm: number): this {
    return this.#put({ code: code.LD | code.IMM | sizes[8], dst, src, imm }).#put({ code: 0 });
  }

  /** r0 = helper(r1..r5); r1..r5 hold nothing afterwards */
  call(helper: number): this {
    return this.#put({ code: code.JMP | code.CALL, imm: helper });
  }

  /** r0 = function(r1..r5), a function of the kernel by its BTF id; r1..r5 hold nothing afterwards */
  callKernel(functionId: number): this {
    const how = code.JMP | code.CALL;
    return this.#put({ code: how, src: BPF_PSEUDO_KFUNC_CALL, imm: functionId });
  }

  jump(label: string): this {
    return this.#put({ code: code.JMP | code.JA, label });
  }

  /** Jumps if the whole register compares so to `value`. */
  jumpIf(dst: Register, comparison: Comparison, value: Register | number, label: string): this {
    const how = code.JMP | comparisons[comparison];
    return typeof value === 'number'
      ? this.#put({ code: how | code.K, dst, imm: value, label })
      : this.#put({ code: how | code.X, dst, src: value, label });
  }

  /** Jumps if the lower half compares so to `value`, an unsigned number of 32 bits. */
  jumpIf32(register: Register, comparison: Comparison, value: number, label: string): this {
    const how = code.JMP32 | comparisons[comparison] | code.K;
    return this.#put({ code: how, dst: register, imm: value, label });
  }

  exit(): this {
    return this.#put({ code: code.JMP | code.EXIT });
  }

  /** Names the place of the next instruction; no instruction itself. */
  label(name: string): this {
    if (this.#labels.has(name)) throw new Error(`BPF label ${name} is there already`);
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  #put(instruction: Instruction): this {
    this.#instructions.push(instruction);
    return this;
  }

  /** The array of struct bpf_insn. */
  assemble(): Uint8Array {
    const program = new DataView(new ArrayBuffer(this.#instructions.length * INSTRUCTION_SIZE));
    for (const [i, { code, dst, src, offset, imm, label }] of this.#instructions.entries()) {
      const at = i * INSTRUCTION_SIZE;
      program.setUint8(at, code);
      program.setUint8(at + 1, number(dst) | (number(src) << 4));
      program.setInt16(
        at + 2,
        label === undefined ? (offset ?? 0) : this.#distance(i, label),
        true,
      );
      program.setInt32(at + 4, imm ?? 0, true);
    }
    return new Uint8Array(program.buffer);
  }

  #distance(from: number, label: string): number {
    const to = this.#labels.get(label);
    if (to === undefined) throw new Error(`BPF label ${label} is nowhere`);
    return to - from - 1;
  }
}

function number(register: Register | number | undefined): number {
  return typeof register === 'string' ? Number(register.slice(1)) : (register ?? 0);
}
