/** One JSON document; 64-bit numbers become decimal strings, since JSON's readers would round them. */
export function formatJson(value: unknown): string {
  const text = JSON.stringify(
    value,
    (_key, each: unknown) => (typeof each === 'bigint' ? String(each) : each),
    2,
  );
  return `${text}\n`;
}
