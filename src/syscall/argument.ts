// Arguments that do not fit: refused before the kernel is entered.

const NUMBERS = /^(an integer|a number|as long|AF_)/;
const STRINGS = /^(an IPv4|a name|a string|a state)/;

function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  const isPlain = typeof value === 'number' || value === null || value === undefined;
  return isPlain ? String(value) : `a value of type ${typeof value}`;
}

/**
 * The error of an argument that does not fit, in the words the addon uses for its own: a TypeError, or a RangeError where
 * the type is the one expected.
 */
export function argumentError(what: string, expected: string, received: unknown): Error {
  const range =
    (typeof received === 'number' && NUMBERS.test(expected)) ||
    (typeof received === 'string' && STRINGS.test(expected));
  const message = `${what} must be ${expected}, received ${shown(received)}`;
  return range
    ? Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' })
    : Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** Refuses what is no integer from `least` to `most`. */
export function checkInteger(what: string, value: unknown, least: number, most: number): void {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw argumentError(what, `an integer from ${least} to ${most}`, value);
  }
}

/** The greatest int. */
export const INT_MAX = 2 ** 31 - 1;

/** Refuses what no descriptor can be; one that is closed is the kernel's to refuse. */
export function checkDescriptor(what: string, value: unknown): void {
  checkInteger(what, value, 0, INT_MAX);
}

/** Refuses what is no object, before its properties are asked for. */
export function checkObject(what: string, expected: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw argumentError(what, expected, value);
}
