/**
 * What a process says of itself, for a terminal: its name, its files and its stacks are its own to choose, and a terminal
 * would obey the control characters in them. Each is a question mark, as in ps(1).
 */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

/** The same of a text of several lines. */
export function printableLines(text: string): string {
  return text.replace(/[^\P{Cc}\n\t]/gu, '?');
}
