// Arguments that do not fit, refused with errors shaped like Node's own.

/** Refuses what is no integer from 0 to `most`: stored in fewer bits it would become another number. */
export function checkUnsigned(what: string, value: unknown, most: number): void {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most) return;
  const message = `${what} must be an integer from 0 to ${most}, received ${shown(value)}`;
  throw typeof value === 'number' ? outOfRange(message) : invalidType(message);
}

/** The same of 64 bits, which only a bigint has. */
export function checkUnsigned64(what: string, value: unknown): void {
  if (typeof value === 'bigint' && BigInt.asUintN(64, value) === value) return;
  const message = `${what} must be a bigint of 64 bits without sign, received ${shown(value)}`;
  throw typeof value === 'bigint' ? outOfRange(message) : invalidType(message);
}

/** Refuses what is no `{address: string, port: number}`; whether the text is an address, its reader says. */
export function checkEndpoint(what: string, value: unknown): void {
  const { address, port } = (value ?? {}) as { address?: unknown; port?: unknown };
  if (typeof address !== 'string') {
    throw invalidType(`${what}.address must be a string, received ${shown(address)}`);
  }
  checkUnsigned(`${what}.port`, port, 0xffff);
}

/** Refuses what is no object, and fields that nobody reads: a slip in a name would pass for having left it out. */
export function checkFields(what: string, value: unknown, known: object): void {
  if (typeof value !== 'object' || value === null) {
    throw invalidType(`${what} must be an object, received ${shown(value)}`);
  }
  const wrong = Object.keys(value).find((key) => !Object.hasOwn(known, key));
  if (wrong === undefined) return;
  const names = Object.keys(known).join(', ');
  throw invalidValue(`${what} has no field ${shown(wrong)}: there are ${names}`);
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
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
