// Arguments that do not fit, refused with errors shaped like Node's own.

/** Refuses a value that is not as it must be; `what` names it in the message. */
export type Check = (what: string, value: unknown) => void;

/** A check of every field that options have: one that is added to the type is asked for here. */
export type Checks<T> = Readonly<Record<keyof T, Check>>;

export function checkInteger(what: string, value: unknown, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw notWithin(what, `an integer from ${least} to ${most}`, value);
}

/** Refuses what is no integer from 0 to `most`: stored in fewer bits it would become another number. */
export function checkUnsigned(what: string, value: unknown, most: number): void {
  checkInteger(what, value, 0, most);
}

/** The same of 64 bits, which only a bigint has. */
export function checkUnsigned64(what: string, value: unknown): void {
  if (typeof value === 'bigint' && BigInt.asUintN(64, value) === value) return;
  const message = `${what} must be a bigint of 64 bits without sign, received ${shown(value)}`;
  throw typeof value === 'bigint' ? outOfRange(message) : invalidType(message);
}

/** Refuses what is no time that a timer takes; it would be over at once. */
export function checkMs(what: string, value: unknown): void {
  if (typeof value === 'number' && value >= 0 && value <= LONGEST_MS) return;
  throw notWithin(what, `a number of milliseconds from 0 to ${LONGEST_MS}`, value);
}

/** The longest time that a timer takes. */
export const LONGEST_MS = 2 ** 31 - 1;

export function checkString(what: string, value: unknown): asserts value is string {
  if (typeof value !== 'string') throw mustBe(what, 'a string', value);
}

export function checkBoolean(what: string, value: unknown): void {
  if (typeof value !== 'boolean') throw mustBe(what, 'true or false', value);
}

export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== 'function') throw mustBe(what, 'a function', value);
}

export function checkSignal(what: string, value: unknown): void {
  if (!(value instanceof AbortSignal)) throw mustBe(what, 'an AbortSignal', value);
}

/** Refuses what `for of` cannot walk; text it could, but that is one thing and no list. */
export function checkIterable(what: string, value: unknown): void {
  if (Array.isArray(value)) return;
  try {
    // A proxy of a Set has the method, which will not have it.
    if (typeof value === 'object' && (value as Iterable<unknown>)[Symbol.iterator]()) return;
  } catch (cause) {
    throw Object.assign(mustBe(what, 'a list', value), { cause });
  }
  throw mustBe(what, 'a list', value);
}

/** Refuses what is no `{address: string, port: number}`; whether the text is an address, its reader says. */
export function checkEndpoint(what: string, value: unknown): void {
  const { address, port } = (value ?? {}) as { address?: unknown; port?: unknown };
  checkString(`${what}.address`, address);
  checkUnsigned(`${what}.port`, port, 0xffff);
}

/** The check of an integer. */
export const integer =
  (least: number, most: number): Check =>
  (what, value) =>
    checkInteger(what, value, least, most);

/** The check of a number, which may be Infinity. */
export const atLeast =
  (least: number): Check =>
  (what, value) => {
    if (!(typeof value === 'number' && value >= least)) {
      throw notWithin(what, `${least} or more`, value);
    }
  };

/** The check of what is one of a few things. */
export const oneOf =
  (...values: readonly unknown[]): Check =>
  (what, value) => {
    if (values.includes(value)) return;
    throw invalidValue(`${what} must be ${values.join(' or ')}, received ${shown(value)}`);
  };

/** The check of an array, each of whose entries has to pass one. */
export const listOf =
  (check: Check): Check =>
  (what, value) => {
    if (!Array.isArray(value)) throw mustBe(what, 'a list', value);
    // By number: a hole is an entry, too.
    for (let i = 0; i < value.length; i++) check(`${what}[${i}]`, value[i]);
  };

/** The check of an object of such fields. */
export const objectOf =
  <T extends object>(checks: Checks<T>): Check =>
  (what, value) => {
    checkedFields(what, value as T, checks);
  };

/** Refuses what is no object, and fields that nobody reads: a slip in a name would pass for having left it out. */
export function checkFields(what: string, value: unknown, known: object): asserts value is object {
  if (typeof value !== 'object' || value === null) throw mustBe(what, 'an object', value);
  const wrong = Object.keys(value).find((key) => !Object.hasOwn(known, key));
  if (wrong === undefined) return;
  const names = Object.keys(known).join(', ');
  throw invalidValue(`${what} has no field ${shown(wrong)}: there are ${names}`);
}

/** Refuses options that are none, and returns a copy: what their author does to them later is not looked at. */
export function checkedFields<T extends object>(
  what: string,
  value: T,
  checks: Checks<NoInfer<T>>,
): T {
  checkFields(what, value, checks);
  const fields: Record<string, unknown> = {};
  for (const [name, check] of Object.entries<Check>(checks)) {
    const field: unknown = Reflect.get(value, name);
    if (field === undefined) continue;
    check(name, field);
    fields[name] = field;
  }
  return fields as T;
}

/** The error of a value that is of another type. */
export function mustBe(what: string, expected: string, received: unknown): TypeError {
  return invalidType(`${what} must be ${expected}, received ${shown(received)}`);
}

/** The same where a number is expected, and it may be one. */
function notWithin(what: string, expected: string, received: unknown): Error {
  const message = `${what} must be ${expected}, received ${shown(received)}`;
  return typeof received === 'number' ? outOfRange(message) : invalidType(message);
}

export function invalidType(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** Of the type expected, and no value that makes sense. */
export function invalidValue(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_VALUE' });
}

export function outOfRange(message: string): RangeError {
  return Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' });
}

/** A value for a message, without running code of its own. */
export function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'function') return 'a function';
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
