const MAGIC = 0xeb9f;
const HEADER_SIZE = 24;
const TYPE_SIZE = 12;
const MEMBER_SIZE = 12;
const PARAMETER_SIZE = 8;

/** BTF_KIND_*: linux/btf.h. */
const INT = 1;
const POINTER = 2;
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

/** How many bytes follow a type's first 12, by its kind: `FIXED`, and `EACH` for each of its `vlen` parts. */
const FIXED = new Uint8Array(ENUM64 + 1);
const EACH = new Uint8Array(ENUM64 + 1);
for (const [kind, fixed, each] of [
  [INT, 4, 0],
  [ARRAY, 12, 0],
  [STRUCT, 0, MEMBER_SIZE],
  [UNION, 0, MEMBER_SIZE],
  [ENUM, 0, 8],
  [FUNC_PROTO, 0, PARAMETER_SIZE],
  [VAR, 4, 0],
  [DATASEC, 0, 12],
  [DECL_TAG, 4, 0],
  [ENUM64, 0, 12],
] as const) {
  FIXED[kind] = fixed;
  EACH[kind] = each;
}
const LAST_KIND = ENUM64;

const ALIASES: ReadonlySet<number> = new Set([TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG]);
/** Malformed types may refer to each other in a circle. */
const DEEPEST = 32;

/**
 * The types of a kernel, as /sys/kernel/btf/vmlinux describes them: where a member lies in the struct of this very build.
 *
 * Types are looked up when asked for; nothing but their positions is decoded before. There are 100,000 of them: loops over
 * all read whole words.
 */
export class Btf {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  /** Where type number n begins; [0] is void, which has no place. */
  readonly #positions: Uint32Array;
  readonly #count: number;
  readonly #strings: number;
  readonly #found = new Map<string, number>();

  private constructor(bytes: Uint8Array, words: Uint32Array, start: number, end: number) {
    this.#bytes = bytes;
    this.#words = words;
    const header = words[1] as number;
    this.#strings = header + (words[4] as number);
    const positions = new Uint32Array(Math.floor((end - start) / TYPE_SIZE) + 1);
    let count = 1;
    for (let at = start; at + TYPE_SIZE <= end; count++) {
      const info = words[(at >> 2) + 1] as number;
      const kind = (info >>> 24) & 0x1f;
      if (kind > LAST_KIND) break;
      const parts = (EACH[kind] as number) * (info & 0xffff);
      const next = at + TYPE_SIZE + (FIXED[kind] as number) + parts;
      if (next > end) break;
      positions[count] = at;
      at = next;
    }
    this.#positions = positions;
    this.#count = count;
  }

  /** Undefined for what is no BTF. Types from the first malformed or unknown one on are left out. */
  static parse(data: Uint8Array): Btf | undefined {
    const bytes = data.byteOffset % 4 === 0 ? data : data.slice();
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    const [magic = 0, header = 0, first = 0, size = 0, strings = 0] = words;
    if (bytes.length < HEADER_SIZE || (magic & 0xffff) !== MAGIC) return;
    const start = header + first;
    if (start % 4 !== 0 || start + size > bytes.length || header + strings > bytes.length) return;
    return new Btf(bytes, words, start, start + size);
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

  /**
   * What the parameters of a function are, by the name of a typedef of a pointer to it: each the name of its type, or of what
   * it points to; empty for void and for what has no name.
   */
  parametersOf(typedef: string): string[] | undefined {
    const id = this.#find(TYPEDEF, typedef);
    const prototype = id === undefined ? 0 : this.#pointee(id);
    if (this.#kind(prototype) !== FUNC_PROTO) return;
    const at = this.#positions[prototype] ?? 0;
    const count = this.#word(at + 4) & 0xffff;
    return Array.from({ length: count }, (_, i) => {
      const type = this.#pointee(this.#word(at + TYPE_SIZE + i * PARAMETER_SIZE + 4));
      return type === 0 ? '' : this.#name(this.#positions[type] ?? 0);
    });
  }

  #find(kind: number, name: string): number | undefined {
    const key = `${kind} ${name}`;
    const found = this.#found.get(key) ?? this.#search(kind, name);
    if (found !== undefined) this.#found.set(key, found);
    return found;
  }

  #search(kind: number, name: string): number | undefined {
    const words = this.#words;
    const positions = this.#positions;
    for (let id = 1; id < this.#count; id++) {
      const at = positions[id] as number;
      if ((((words[(at >> 2) + 1] as number) >>> 24) & 0x1f) !== kind) continue;
      if (this.#named(at, name)) return id;
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
    const info = this.#word(at + 4);
    const bitfields = info >>> 31 === 1;
    const end = at + TYPE_SIZE + (info & 0xffff) * MEMBER_SIZE;
    for (let member = at + TYPE_SIZE; member < end; member += MEMBER_SIZE) {
      const type = this.#word(member + 4);
      const position = this.#word(member + 8);
      const offset = Math.floor((bitfields ? position & 0xff_ffff : position) / 8);
      if (this.#named(member, name)) return { offset, type };
      if (this.#word(member) !== 0) continue;
      const inner = this.#member(type, name, depth + 1);
      if (inner !== undefined) return { offset: offset + inner.offset, type: inner.type };
    }
    return;
  }

  /** The type behind typedefs and qualifiers. */
  #resolve(id: number): number {
    let type = id;
    for (let depth = 0; depth < DEEPEST && ALIASES.has(this.#kind(type)); depth++) {
      type = this.#word((this.#positions[type] ?? 0) + 8);
    }
    return type;
  }

  /** The type behind pointers, typedefs and qualifiers. */
  #pointee(id: number): number {
    let type = this.#resolve(id);
    for (let depth = 0; depth < DEEPEST && this.#kind(type) === POINTER; depth++) {
      type = this.#resolve(this.#word((this.#positions[type] ?? 0) + 8));
    }
    return type;
  }

  #kind(id: number): number {
    const at = id < this.#count ? (this.#positions[id] ?? 0) : 0;
    return at === 0 ? 0 : (this.#word(at + 4) >>> 24) & 0x1f;
  }

  #word(at: number): number {
    return this.#words[at >> 2] as number;
  }

  /** The string that the number at `at` refers to; names are ASCII. */
  #name(at: number): string {
    const start = this.#strings + this.#word(at);
    let name = '';
    for (let i = start; i < this.#bytes.length; i++) {
      const code = this.#bytes[i] as number;
      if (code === 0) break;
      name += String.fromCharCode(code);
    }
    return name;
  }

  /** Whether the string that the number at `at` refers to is `name`. */
  #named(at: number, name: string): boolean {
    const bytes = this.#bytes;
    const start = this.#strings + (this.#words[at >> 2] as number);
    // What lies past the end is undefined, and equals nothing.
    if (bytes[start + name.length] !== 0) return false;
    for (let i = 0; i < name.length; i++) {
      if (bytes[start + i] !== name.charCodeAt(i)) return false;
    }
    return true;
  }
}
