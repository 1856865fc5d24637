/**
 * Cuts long texts and bytes into pieces, and finds the pieces that a change left alone.
 *
 * Where the length stayed, every piece is compared in its place, so changes far apart cost what they are; where it did not, what is
 * before and behind the change is kept. Of a piece that changed in part the rest is referred to, where that is worth it. Nothing is
 * looked at piece by piece that can be told to be equal as a whole.
 */
import { Blob, chunkBytes, leastPiece, Piece, pieceLength } from './shadow';

const noChunks: readonly Buffer[] = [];
const fewEnough = 64;

export function blobOf(type: number, live: string | Uint8Array, old: Blob | undefined): Blob {
  const before = old?.type === type ? old : undefined;
  return typeof live === 'string' ? textBlob(type, live, before) : bytesBlob(type, live, before);
}

function textBlob(type: number, live: string, old: Blob | undefined): Blob {
  if (old === undefined) return new Blob(type, live, noChunks, cutPieces(live, 0, live.length));
  const { text } = old;
  const [end, now] = [text.length, live.length];
  const limit = Math.min(end, now);
  const prefix = common(limit, (from, to) => text.substring(from, to) === live.substring(from, to), (at) => text.charCodeAt(at) === live.charCodeAt(at));
  if (prefix === end && end === now) return old;
  const suffix = common(
    limit - prefix,
    (from, to) => text.substring(end - to, end - from) === live.substring(now - to, now - from),
    (at) => text.charCodeAt(end - 1 - at) === live.charCodeAt(now - 1 - at),
  );
  const same = end === now ? (from: number, to: number): boolean => text.substring(from, to) === live.substring(from, to) : undefined;
  return new Blob(type, live, noChunks, replace(old.pieces, prefix, suffix, live, same), old);
}

function bytesBlob(type: number, live: Uint8Array, old: Blob | undefined): Blob {
  const now = Buffer.from(live.buffer, live.byteOffset, live.byteLength);
  if (old === undefined) return new Blob(type, '', chunksOf(now), cutPieces(now, 0, now.length));
  const { chunks } = old;
  const limit = Math.min(old.length, now.length);
  let prefix = 0;
  let first = 0;
  for (; first < chunks.length && holds(chunks[first]!, now, prefix); ++first) prefix += chunks[first]!.length;
  if (first === chunks.length && prefix === now.length) return old;
  if (prefix < limit) {
    const chunk = chunks[first]!;
    const start = prefix;
    prefix += common(
      Math.min(chunk.length, now.length - start),
      (from, to) => now.compare(chunk, from, to, start + from, start + to) === 0,
      (at) => chunk[at] === now[start + at],
    );
  }
  let last = chunks.length;
  let suffix = 0;
  while (last > first && suffix + chunks[last - 1]!.length <= limit - prefix && holds(chunks[last - 1]!, now, now.length - suffix - chunks[last - 1]!.length)) {
    suffix += chunks[--last]!.length;
  }
  if (last > first) {
    const chunk = chunks[last - 1]!;
    const [end, there] = [chunk.length, now.length - suffix];
    suffix += common(
      Math.min(end, limit - prefix - suffix),
      (from, to) => now.compare(chunk, end - to, end - from, there - to, there - from) === 0,
      (at) => chunk[end - 1 - at] === now[there - 1 - at],
    );
  }
  const isInPlace = old.length === now.length;
  const same = isInPlace ? (from: number, to: number): boolean => isWithin(chunks, now, from, to) : undefined;
  const whole = Math.floor(prefix / chunkBytes);
  const made = isInPlace ? chunks.map((chunk, at) => (at < first || at >= last ? chunk : renewed(chunk, now, at * chunkBytes)))
    : [...chunks.slice(0, whole), ...chunksOf(now.subarray(whole * chunkBytes))];
  return new Blob(type, '', made, replace(old.pieces, prefix, suffix, now, same), old);
}

/** Unchanged pieces stay, what is between the prefix and the suffix is cut anew, or piece by piece where lengths did not change. */
function replace(
  pieces: readonly Piece[],
  prefix: number,
  suffix: number,
  live: string | Uint8Array,
  same: ((from: number, to: number) => boolean) | undefined,
): readonly Piece[] {
  let head = 0;
  let front = 0;
  while (head < pieces.length && front + pieces[head]!.length <= prefix) front += pieces[head++]!.length;
  let tail = pieces.length;
  let back = live.length;
  while (tail > head && live.length - back + pieces[tail - 1]!.length <= suffix) back -= pieces[--tail]!.length;
  /** What comes between the pieces before `head` and those from `tail` on. */
  const made: Piece[] = [];
  if (same === undefined) {
    let left = head < tail ? prefix - front : 0;
    let right = head < tail ? suffix - (live.length - back) : 0;
    const fresh = back - front - (left < leastPiece ? 0 : left) - (right < leastPiece ? 0 : right);
    if (fresh > 0 && fresh < leastPiece && left < leastPiece && right < leastPiece) {
      // Too short for a piece of its own: one beside it gives some, or all.
      if (head > 0) {
        left = pieces[--head]!.length;
        front -= left;
      } else if (tail < pieces.length) {
        right = pieces[tail++]!.length;
        back += right;
      }
    }
    renew(made, pieces, head, tail, live, front, back, left, right);
  } else {
    for (let at = head, from = front; at < tail; ) {
      const start = at;
      let to = from;
      // The first and the last are known to differ, and where.
      while (at < tail && (at === head || at === tail - 1 || !same(to, to + pieces[at]!.length))) to += pieces[at++]!.length;
      if (at - start > 1) renew(made, pieces, start, at, live, from, to, start === head ? prefix - front : 0, at === tail ? suffix - (live.length - back) : 0);
      else if (at > start) made.push(pieceOf(live, from, to));
      else {
        made.push(pieces[at]!);
        to += pieces[at++]!.length;
      }
      from = to;
    }
  }
  const all = pieces.slice(0, head).concat(made, pieces.slice(tail));
  // One alone is referred to as a whole.
  return all.length === 1 && all[0]!.from >= 0 ? cutPieces(live, 0, live.length) : all;
}

/**
 * Adds to `made` what is now in place of the pieces from `head` to `tail`, which is `live` from `front` to `back`. So much on the left of the first
 * and on the right of the last is as it was.
 */
function renew(
  made: Piece[],
  pieces: readonly Piece[],
  head: number,
  tail: number,
  live: string | Uint8Array,
  front: number,
  back: number,
  left: number,
  right: number,
): void {
  let keptLeft = left < leastPiece ? 0 : left;
  let keptRight = right < leastPiece ? 0 : right;
  const lacks = leastPiece - (back - front - keptLeft - keptRight);
  if (lacks > 0 && lacks < leastPiece) {
    if (keptLeft >= keptRight) keptLeft = keptLeft - lacks < leastPiece ? 0 : keptLeft - lacks;
    else keptRight = keptRight - lacks < leastPiece ? 0 : keptRight - lacks;
  }
  // The halves of a surrogate pair stay together.
  if (keptLeft > 0 && isSplit(live, front + keptLeft)) --keptLeft;
  if (keptRight > 0 && isSplit(live, back - keptRight)) --keptRight;
  if (keptLeft > 0) made.push(partOf(pieces[head]!, 0, keptLeft, live, front));
  cutInto(made, live, front + keptLeft, back - keptRight);
  const last = pieces[tail - 1];
  if (keptRight > 0) made.push(partOf(last!, last!.length - keptRight, last!.length, live, back - keptRight));
}

/** Of a stored piece a part need not be stored again. */
function partOf(piece: Piece, from: number, to: number, live: string | Uint8Array, at: number): Piece {
  if (piece.ref === undefined) return pieceOf(live, at, at + to - from);
  return new Piece(to - from, undefined, piece.ref, Math.max(0, piece.from) + from);
}

/**
 * How far two sequences agree, up to `limit`. By halving: each look compares what is left as a whole, so all of them together go over it about
 * once. The last few one by one.
 */
function common(limit: number, same: (from: number, to: number) => boolean, isSame: (at: number) => boolean): number {
  let least = 0;
  let most = limit;
  while (most - least > fewEnough) {
    const middle = (least + most + 1) >>> 1;
    if (same(least, middle)) least = middle;
    else most = middle - 1;
  }
  while (least < most && isSame(least)) ++least;
  return least;
}

export function chunksOf(bytes: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) chunks.push(Buffer.from(bytes.subarray(at, at + chunkBytes)));
  return chunks;
}

function renewed(chunk: Buffer, now: Buffer, at: number): Buffer {
  return holds(chunk, now, at) ? chunk : Buffer.from(now.subarray(at, at + chunk.length));
}

function holds(chunk: Buffer, now: Buffer, from: number): boolean {
  return from + chunk.length <= now.length && now.compare(chunk, 0, chunk.length, from, from + chunk.length) === 0;
}

function isWithin(chunks: readonly Buffer[], now: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; ) {
    const chunk = Math.floor(at / chunkBytes);
    const start = chunk * chunkBytes;
    const end = Math.min(to, start + chunkBytes);
    if (now.compare(chunks[chunk]!, at - start, end - start, at, end) !== 0) return false;
    at = end;
  }
  return true;
}

/** Is `live` what the bytes of this blob were? */
export function sameAsBlob({ chunks, length }: Blob, live: Uint8Array): boolean {
  return length === live.length && isWithin(chunks, Buffer.from(live.buffer, live.byteOffset, live.byteLength), 0, length);
}

function pieceOf(live: string | Uint8Array, from: number, to: number): Piece {
  return new Piece(to - from, typeof live === 'string' ? live.substring(from, to) : Buffer.from(live.subarray(from, to)));
}

function cutPieces(live: string | Uint8Array, from: number, to: number): Piece[] {
  const pieces: Piece[] = [];
  cutInto(pieces, live, from, to);
  return pieces;
}

function cutInto(pieces: Piece[], live: string | Uint8Array, from: number, to: number): void {
  for (let at = from; at < to; ) {
    let end = to - at < pieceLength + pieceLength / 2 ? to : at + pieceLength;
    if (end < to && isSplit(live, end)) ++end;
    pieces.push(pieceOf(live, at, end));
    at = end;
  }
}

/** Would the halves of a surrogate pair be parted here? */
function isSplit(live: string | Uint8Array, at: number): boolean {
  return typeof live === 'string' && (live.charCodeAt(at - 1) & 0xfc00) === 0xd800 && (live.charCodeAt(at) & 0xfc00) === 0xdc00;
}
