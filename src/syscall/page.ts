import { native } from './native.js';

// The first words of a page carry a call: {result, up to six values, length of the bytes}. See native/glue/calls.h.
const HEADER = 32;
const SIZE = 65536;

/**
 * The memory that the addon's gates take their arguments from and leave their results on.
 *
 * Behind the header lies the scratch, for who reads the answer at once. What a call writes behind that may be kept by
 * whoever asked for it: `take` gives each part of a page away once, and a full page is replaced. A typed array with memory of its own takes longer to make than a system call does.
 */
export interface Page {
  /** {result, value, value, ..., length}; the result and the values are int32. */
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
  /** What the next call may overwrite, of `bytes`. */
  readonly scratch: Uint8Array;
}

/** The place of the result among a page's words. */
export const RESULT = 0;
/** The place of the first value. */
export const VALUE = 1;
/** The place of the length of the bytes. */
export const LENGTH = 7;

/** Where the bytes begin that the next call may overwrite; a multiple of 8. */
export const SCRATCH = HEADER;
/** How many there are. */
export const SCRATCH_SIZE = 128;

interface State {
  page: Page;
  /** Where the bytes begin that nobody has taken. */
  used: number;
}

// It lies with the addon, which knows one page: who loads this module twice, as test runners do that give each file modules of
// its own, has the same addon twice.
const STATE = Symbol.for('closewait.page');
const shared: { [STATE]?: State } = native.gates as object;
const none: Page = { words: new Uint32Array(), bytes: new Uint8Array(), scratch: new Uint8Array() };
shared[STATE] ??= { page: none, used: SIZE };
const state: State = shared[STATE];

function turn(): void {
  // Not zeroed: nobody is shown what the kernel did not write.
  const { buffer } = Buffer.allocUnsafeSlow(SIZE);
  native.usePage(buffer as ArrayBuffer);
  state.page = {
    words: new Uint32Array(buffer),
    bytes: new Uint8Array(buffer),
    scratch: new Uint8Array(buffer, SCRATCH, SCRATCH_SIZE),
  };
  state.used = SCRATCH + SCRATCH_SIZE;
}

/** The page in use; at least `length` bytes of it, from `untaken()` on, are nobody's. */
export function pageWith(length: number): Page {
  if (state.used + length > SIZE) turn();
  return state.page;
}

/** The page in use, for a call that needs its scratch alone. */
export function pageInUse(): Page {
  if (state.page.bytes.length === 0) turn();
  return state.page;
}

/** Where the bytes begin that nobody has taken; a multiple of 8. */
export function untaken(): number {
  return state.used;
}

/** Takes `length` bytes: no call will write there again. */
export function take(length: number): void {
  state.used += (length + 7) & ~7;
}
