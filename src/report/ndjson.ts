/** One event a line, as JSON; 64-bit numbers become decimal strings, since JSON's readers would round them. */
export function formatNdjson(events: Iterable<unknown>): string {
  let text = '';
  for (const event of events) text += `${JSON.stringify(event, textOfBigint)}\n`;
  return text;
}

function textOfBigint(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
