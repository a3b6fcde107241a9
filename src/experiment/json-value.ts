import { inspect, isDeepStrictEqual } from 'node:util';

/**
 * A value as JSON can have it. What JSON would leave out, make null of or refuse (undefined, NaN, a bigint, a Map) is spelled
 * out instead, since a check without its values says nothing.
 */
export function asJson(value: unknown): unknown {
  try {
    if (isDeepStrictEqual(JSON.parse(JSON.stringify(value)), value)) return value;
  } catch {
    // A bigint or a circle is no JSON, and undefined makes none.
  }
  return inspect(value);
}
