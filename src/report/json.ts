/** One JSON document; 64-bit numbers become decimal strings, since JSON's readers would round them. */
export function formatJson(value: unknown): string {
  return `${JSON.stringify(value, exact, 2)}\n`;
}

function exact(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

const PIECE_LENGTH = 1 << 16;

/**
 * The same in pieces, each element of the object's own arrays on a line of its own: the text of thousands need not be in
 * memory at once.
 */
export function* formatJsonInPieces(value: object): Generator<string> {
  let piece = '{';
  let isFirst = true;
  for (const [key, each] of Object.entries(value)) {
    piece += `${isFirst ? '' : ','}\n  ${JSON.stringify(key)}: `;
    isFirst = false;
    if (!Array.isArray(each) || each.length === 0) {
      piece += JSON.stringify(each, exact);
      continue;
    }
    for (const [index, element] of each.entries()) {
      piece += `${index === 0 ? '[' : ','}\n    ${JSON.stringify(element, exact)}`;
      if (piece.length < PIECE_LENGTH) continue;
      yield piece;
      piece = '';
    }
    piece += '\n  ]';
  }
  yield `${piece}\n}\n`;
}
