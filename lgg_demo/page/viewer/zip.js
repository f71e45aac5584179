// A zip of files as they are, for a folder to be sent as one: paths are kept, nothing is packed. No document.
const LEFT_OUT = ["thumbs.db", "desktop.ini", "__macosx"];
const MOST_ENTRIES = 65535, MOST_ZIPPED = 2 ** 32 - 1; // what a zip without zip64 can say

// Whether a file was put there by an operating system, not by its user.
export const isHidden = (path) =>
  path.split("/").some((part) => part.startsWith(".") || LEFT_OUT.includes(part.toLowerCase()));

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let value = n;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value >>> 0;
});

export function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = TABLE[(value ^ byte) & 255] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}

// Numbers of two or four bytes, lowest first: [value, bytes].
function record(...numbers) {
  const bytes = new Uint8Array(numbers.reduce((sum, [, size]) => sum + size, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const [value, size] of numbers) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

const NAMES_ARE_UTF8 = 0x0800, STORED = 0, VERSION = 20, NEW_YEAR_1980 = 0x21; // no date of anybody's file goes along

const described = ({ crc, size, name }) => [
  [VERSION, 2], [NAMES_ARE_UTF8, 2], [STORED, 2], [0, 2], [NEW_YEAR_1980, 2], [crc, 4], [size, 4], [size, 4], [name.length, 2], [0, 2],
];
const localHeader = (entry) => record([0x04034b50, 4], ...described(entry));
const centralHeader = (entry) =>
  record([0x02014b50, 4], [VERSION, 2], ...described(entry), [0, 2], [0, 2], [0, 2], [0, 4], [entry.at, 4]);

// The parts of a zip, in order, to be made a Blob of. files: [{path, file}], where a file has `size` and `arrayBuffer`, as a
// browser's has; it is read for its checksum and goes along itself, so that no more than one lies in memory. `tell` hears how
// many are done; it may throw to stop. Raises RangeError where a zip cannot hold so much.
export async function zipParts(files, tell = () => {}) {
  if (files.length > MOST_ENTRIES) throw new RangeError("too many files for a zip");
  const parts = [], entries = [];
  let at = 0;
  const add = (part, size) => {
    parts.push(part);
    at += size;
    if (at > MOST_ZIPPED) throw new RangeError("too much for a zip");
  };
  for (const [n, { path, file }] of files.entries()) {
    const name = new TextEncoder().encode(path);
    const entry = { name, size: file.size, crc: crc32(new Uint8Array(await file.arrayBuffer())), at };
    entries.push(entry);
    add(localHeader(entry), 30);
    add(name, name.length);
    add(file, file.size);
    tell(n + 1, files.length);
  }
  const directory = at;
  for (const entry of entries) {
    add(centralHeader(entry), 46);
    add(entry.name, entry.name.length);
  }
  parts.push(record([0x06054b50, 4], [0, 2], [0, 2], [entries.length, 2], [entries.length, 2], [at - directory, 4], [directory, 4], [0, 2]));
  return parts;
}

// What a folder is sent as: after the one folder that all lies in, or else in general.
export function zipName(paths) {
  const [first] = paths[0].split("/");
  return paths.every((path) => path.startsWith(`${first}/`)) ? `${first}.zip` : "files.zip";
}
