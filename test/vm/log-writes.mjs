// Reads the log of the kernel's dm-log-writes and rebuilds every state a power cut could have left:
// the base device, and the writes of the log up to a point. With `lose`, of the writes behind the
// last flush a random part is left out, as a disk's cache would; what was forced through (FUA)
// stays.
import {
  closeSync,
  copyFileSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs';

const MAGIC = 0x6a736677736872n;
const FLUSH = 1;
const FUA = 2;
const DISCARD = 4;
const MARK = 8;
const CHUNK = 1 << 20;

function readAt(fd, at, size) {
  const bytes = Buffer.alloc(size);
  if (readSync(fd, bytes, 0, size, at) !== size)
    throw new Error(`the write log ends at byte ${at}`);
  return bytes;
}

/** Entries in order: { flush, fua, discard, mark, at, bytes, from } with offsets in bytes. */
export function readLog(file) {
  const fd = openSync(file, 'r');
  try {
    const head = readAt(fd, 0, 512);
    if (head.readBigUInt64LE(0) !== MAGIC) throw new Error(`${file} is no write log`);
    const count = Number(head.readBigUInt64LE(16));
    const sector = head.readUInt32LE(24);
    const entries = [];
    let at = sector;
    for (let i = 0; i < count; i++) {
      const head = readAt(fd, at, sector);
      const flags = Number(head.readBigUInt64LE(16));
      const textBytes = Number(head.readBigUInt64LE(24));
      const bytes = flags & MARK ? 0 : Number(head.readBigUInt64LE(8)) * sector;
      at += sector;
      entries.push({
        flush: (flags & FLUSH) !== 0,
        fua: (flags & FUA) !== 0,
        discard: (flags & DISCARD) !== 0,
        mark:
          flags & MARK
            ? head.toString('latin1', 32, 32 + textBytes).replace(/\0.*$/s, '')
            : undefined,
        at: Number(head.readBigUInt64LE(0)) * sector,
        bytes,
        from: at,
      });
      if (bytes > 0 && !(flags & DISCARD)) at += bytes;
    }
    return entries;
  } finally {
    closeSync(fd);
  }
}

export class Replayer {
  #log;
  #image;
  #next = 0;

  constructor(logFile, base, image) {
    copyFileSync(base, image, constants.COPYFILE_FICLONE);
    this.entries = readLog(logFile);
    this.image = image;
    this.#log = openSync(logFile, 'r');
    this.#image = openSync(image, 'r+');
  }

  close() {
    closeSync(this.#log);
    closeSync(this.#image);
  }

  #apply(entry, fd) {
    for (let done = 0; done < entry.bytes; done += CHUNK) {
      const size = Math.min(CHUNK, entry.bytes - done);
      const bytes = entry.discard ? Buffer.alloc(size) : readAt(this.#log, entry.from + done, size);
      writeSync(fd, bytes, 0, size, entry.at + done);
    }
  }

  /**
   * Points at which something has been promised: a flush, a forced write, a mark. Numbers of
   * entries.
   */
  points() {
    return this.entries.flatMap(({ flush, fua, mark }, i) => (flush || fua || mark ? [i] : []));
  }

  /** The image as of entry `last`, included. Rising calls only. */
  upTo(last) {
    for (; this.#next <= last; this.#next++) this.#apply(this.entries[this.#next], this.#image);
    return fstatSync(this.#image).size;
  }

  /**
   * In `copy`, a copy of the image as of some entry: the entries from there to `last`, some of them
   * lost.
   */
  applyLossy(from, last, copy, random) {
    const fd = openSync(copy, 'r+');
    let lost = 0;
    for (let i = from; i <= last; i++) {
      const entry = this.entries[i];
      if (entry.bytes === 0) continue;
      if (!entry.fua && random() < 0.5) lost += 1;
      else this.#apply(entry, fd);
    }
    closeSync(fd);
    return lost;
  }
}
