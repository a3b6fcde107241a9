// struct Elf64_Ehdr and Elf64_Shdr, elf(5).
const EHDR_SIZE = 64;
const SHDR_SIZE = 64;
const ELF64 = Buffer.from('\x7fELF\x02\x01', 'latin1');
const SECTION_NAMES_LIMIT = 1 << 16;

/** Reads so many bytes at a place of a file; fewer where it ends. */
export type ReadAt = (position: number, length: number) => Buffer;

/** Whether an executable has the section that Go's linker writes into every program. The kernel runs one without looking there. */
export function namesGoSection(read: ReadAt): boolean {
  const header = read(0, EHDR_SIZE);
  if (header.length < EHDR_SIZE || !header.subarray(0, ELF64.length).equals(ELF64)) return false;
  const sections = Number(header.readBigUInt64LE(0x28));
  const place = sections + header.readUInt16LE(0x3e) * SHDR_SIZE;
  if (sections === 0 || !Number.isSafeInteger(place)) return false;
  const names = read(place, SHDR_SIZE);
  if (names.length < SHDR_SIZE) return false;
  const offset = Number(names.readBigUInt64LE(0x18));
  const size = Number(names.readBigUInt64LE(0x20));
  if (!Number.isSafeInteger(offset)) return false;
  return read(offset, Math.min(size, SECTION_NAMES_LIMIT)).includes(
    '\0.go.buildinfo\0',
    0,
    'latin1',
  );
}
