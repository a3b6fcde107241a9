const MAGIC = 0xeb9f;
const HEADER_SIZE = 24;
const TYPE_SIZE = 12;
const MEMBER_SIZE = 12;

/** BTF_KIND_*: linux/btf.h. */
const INT = 1;
const ARRAY = 3;
const STRUCT = 4;
const UNION = 5;
const ENUM = 6;
const TYPEDEF = 8;
const VOLATILE = 9;
const CONST = 10;
const RESTRICT = 11;
const FUNC = 12;
const FUNC_PROTO = 13;
const VAR = 14;
const DATASEC = 15;
const DECL_TAG = 17;
const TYPE_TAG = 18;
const ENUM64 = 19;

/** What follows a type's first 12 bytes: so much, and so much for each of its `vlen` parts. */
const TAILS: Readonly<Record<number, readonly [fixed: number, each: number]>> = {
  [INT]: [4, 0],
  [ARRAY]: [12, 0],
  [STRUCT]: [0, MEMBER_SIZE],
  [UNION]: [0, MEMBER_SIZE],
  [ENUM]: [0, 8],
  [FUNC_PROTO]: [0, 8],
  [VAR]: [4, 0],
  [DATASEC]: [0, 12],
  [DECL_TAG]: [4, 0],
  [ENUM64]: [0, 12],
};
const LAST_KIND = ENUM64;

const ALIASES: ReadonlySet<number> = new Set([TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG]);
/** Malformed types may refer to each other in a circle. */
const DEEPEST = 32;

/**
 * The types of a kernel, as /sys/kernel/btf/vmlinux describes them: where a member lies in the struct of this very build.
 *
 * Types are looked up when asked for; nothing but their positions is decoded before.
 */
export class Btf {
  readonly #data: DataView;
  /** Where type number n begins; [0] is void, which has no place. */
  readonly #positions: Uint32Array;
  readonly #count: number;
  readonly #strings: number;
  readonly #found = new Map<string, number>();

  private constructor(data: DataView, strings: number, positions: Uint32Array, count: number) {
    this.#data = data;
    this.#strings = strings;
    this.#positions = positions;
    this.#count = count;
  }

  /** Undefined for what is no BTF. Types from the first malformed or unknown one on are left out. */
  static parse(bytes: Uint8Array): Btf | undefined {
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (data.byteLength < HEADER_SIZE || data.getUint16(0, true) !== MAGIC) return;
    const header = data.getUint32(4, true);
    const start = header + data.getUint32(8, true);
    const end = start + data.getUint32(12, true);
    const strings = header + data.getUint32(16, true);
    if (end > data.byteLength || strings > data.byteLength) return;

    const positions = new Uint32Array(Math.floor((end - start) / TYPE_SIZE) + 1);
    let count = 1;
    for (let at = start; at + TYPE_SIZE <= end; count++) {
      const info = data.getUint32(at + 4, true);
      const kind = (info >>> 24) & 0x1f;
      const [fixed, each] = TAILS[kind] ?? [0, 0];
      const next = at + TYPE_SIZE + fixed + each * (info & 0xffff);
      if (kind > LAST_KIND || next > end) break;
      positions[count] = at;
      at = next;
    }
    return new Btf(data, strings, positions, count);
  }

  /** The number of a typedef; a tracepoint `x` has one by the name of `btf_trace_x`. */
  typedefId(name: string): number | undefined {
    return this.#find(TYPEDEF, name);
  }

  /** The number of a struct. */
  structId(name: string): number | undefined {
    return this.#find(STRUCT, name);
  }

  /** The number of a function. */
  functionId(name: string): number | undefined {
    return this.#find(FUNC, name);
  }

  /**
   * The offset in bytes of a member of a struct. `path` goes on through members that are structs themselves
   * (`__sk_common.skc_net.net`), not through pointers; members of unnamed structs and unions count as the outer's own.
   */
  offsetOf(struct: string, path: string): number | undefined {
    let type = this.#find(STRUCT, struct);
    let offset = 0;
    for (const name of path.split('.')) {
      const member = type === undefined ? undefined : this.#member(type, name, 0);
      if (member === undefined) return;
      offset += member.offset;
      type = member.type;
    }
    return offset;
  }

  #find(kind: number, name: string): number | undefined {
    const key = `${kind} ${name}`;
    const found = this.#found.get(key) ?? this.#search(kind, name);
    if (found !== undefined) this.#found.set(key, found);
    return found;
  }

  #search(kind: number, name: string): number | undefined {
    for (let id = 1; id < this.#count; id++) {
      if (this.#kind(id) === kind && this.#named(this.#positions[id] ?? 0, name)) return id;
    }
    return;
  }

  #member(
    id: number,
    name: string,
    depth: number,
  ): { readonly offset: number; readonly type: number } | undefined {
    const struct = this.#resolve(id);
    const kind = this.#kind(struct);
    if ((kind !== STRUCT && kind !== UNION) || depth > DEEPEST) return;
    const at = this.#positions[struct] ?? 0;
    const info = this.#data.getUint32(at + 4, true);
    const bitfields = info >>> 31 === 1;
    const end = at + TYPE_SIZE + (info & 0xffff) * MEMBER_SIZE;
    for (let member = at + TYPE_SIZE; member < end; member += MEMBER_SIZE) {
      const type = this.#data.getUint32(member + 4, true);
      const position = this.#data.getUint32(member + 8, true);
      const offset = Math.floor((bitfields ? position & 0xff_ffff : position) / 8);
      if (this.#named(member, name)) return { offset, type };
      if (this.#data.getUint32(member, true) !== 0) continue;
      const inner = this.#member(type, name, depth + 1);
      if (inner !== undefined) return { offset: offset + inner.offset, type: inner.type };
    }
    return;
  }

  /** The type behind typedefs and qualifiers. */
  #resolve(id: number): number {
    let type = id;
    for (let depth = 0; depth < DEEPEST && ALIASES.has(this.#kind(type)); depth++) {
      type = this.#data.getUint32((this.#positions[type] ?? 0) + 8, true);
    }
    return type;
  }

  #kind(id: number): number {
    const at = id < this.#count ? (this.#positions[id] ?? 0) : 0;
    return at === 0 ? 0 : (this.#data.getUint32(at + 4, true) >>> 24) & 0x1f;
  }

  /** Whether the string that the number at `at` refers to is `name`; names are ASCII. */
  #named(at: number, name: string): boolean {
    const start = this.#strings + this.#data.getUint32(at, true);
    if (start + name.length >= this.#data.byteLength) return false;
    for (let i = 0; i < name.length; i++) {
      if (this.#data.getUint8(start + i) !== name.charCodeAt(i)) return false;
    }
    return this.#data.getUint8(start + name.length) === 0;
  }
}
