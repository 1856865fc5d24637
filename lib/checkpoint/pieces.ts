/**
 * Cuts long texts and bytes into pieces, and finds the pieces that a change left alone.
 *
 * Where the length stayed, every piece is compared in its place, so changes far apart cost what they are; where it did not, the
 * pieces before and behind the change are kept. Nothing is looked at piece by piece that can be told to be equal as a whole.
 */
import { Blob, type Chunk, chunkPieces, Piece, pieceLength } from './shadow';

const noChunks: readonly Chunk[] = [];

export function blobOf(type: number, live: string | Uint8Array, old: Blob | undefined): Blob {
  const before = old?.type === type ? old : undefined;
  return typeof live === 'string' ? textBlob(type, live, before) : bytesBlob(type, live, before);
}

function textBlob(type: number, live: string, old: Blob | undefined): Blob {
  if (old === undefined) return new Blob(type, live, noChunks, cutPieces(live, 0, live.length));
  const { text, pieces } = old;
  if (text === live) return old;
  const prefix = commonPrefix(text, live);
  const suffix = commonSuffix(text, live, Math.min(text.length, live.length) - prefix);
  const same = text.length === live.length
    ? (from: number, to: number): boolean => text.substring(from, to) === live.substring(from, to)
    : undefined;
  return new Blob(type, live, noChunks, replace(pieces, prefix, suffix, live, same), old);
}

/** Unchanged pieces stay, what is between the prefix and the suffix is cut anew, or piece by piece where lengths did not change. */
function replace(
  pieces: readonly Piece[],
  prefix: number,
  suffix: number,
  live: string | Uint8Array,
  same: ((from: number, to: number) => boolean) | undefined,
): Piece[] {
  let head = 0;
  let front = 0;
  while (head < pieces.length && front + pieces[head]!.length <= prefix) front += pieces[head++]!.length;
  let tail = pieces.length;
  let back = live.length;
  while (tail > head && live.length - back + pieces[tail - 1]!.length <= suffix) back -= pieces[--tail]!.length;
  if (same !== undefined) {
    const made = pieces.slice();
    for (let at = head, from = front; at < tail; from += pieces[at++]!.length) {
      const to = from + pieces[at]!.length;
      if (!same(from, to)) made[at] = pieceOf(live, from, to);
    }
    return made;
  }
  // A short piece at the seam is taken in, so that many small changes don't leave many small pieces.
  if (head > 0 && pieces[head - 1]!.length < pieceLength / 2) front -= pieces[--head]!.length;
  if (tail < pieces.length && pieces[tail]!.length < pieceLength / 2) back += pieces[tail++]!.length;
  return [...pieces.slice(0, head), ...cutPieces(live, front, back), ...pieces.slice(tail)];
}

// By halving: each look compares what is left as a whole, so all of them together go over the text about once.
function commonPrefix(a: string, b: string): number {
  let least = 0;
  let most = Math.min(a.length, b.length);
  while (most > least) {
    const middle = (least + most + 1) >>> 1;
    if (a.substring(least, middle) === b.substring(least, middle)) least = middle;
    else most = middle - 1;
  }
  return least;
}

function commonSuffix(a: string, b: string, limit: number): number {
  let least = 0;
  let most = limit;
  while (most > least) {
    const middle = (least + most + 1) >>> 1;
    if (a.substring(a.length - middle, a.length - least) === b.substring(b.length - middle, b.length - least)) least = middle;
    else most = middle - 1;
  }
  return least;
}

function bytesBlob(type: number, live: Uint8Array, old: Blob | undefined): Blob {
  const now = Buffer.from(live.buffer, live.byteOffset, live.byteLength);
  if (old === undefined) {
    const pieces = cutPieces(now, 0, now.length);
    return new Blob(type, '', chunksOf(pieces, now, 0), pieces);
  }
  const { chunks, pieces } = old;
  let first = 0;
  let front = 0;
  let head = 0;
  while (first < chunks.length && holds(chunks[first]!, now, front)) {
    front += chunks[first]!.bytes.length;
    head += chunks[first++]!.pieces;
  }
  if (first === chunks.length && front === now.length) return old;
  let last = chunks.length;
  let back = now.length;
  let tail = pieces.length;
  while (last > first && back - chunks[last - 1]!.bytes.length >= front && holds(chunks[last - 1]!, now, back - chunks[last - 1]!.bytes.length)) {
    back -= chunks[--last]!.bytes.length;
    tail -= chunks[last]!.pieces;
  }
  if (old.length === now.length) return inPlace(old, now, first, last, front, head);
  // Within the chunks that changed, piece by piece.
  let place = { chunk: first, at: 0 };
  while (head < tail && front + pieces[head]!.length <= back && holdsPiece(chunks, place, pieces[head]!.length, now, front)) {
    front += pieces[head]!.length;
    place = behind(chunks, place, pieces[head++]!.length);
  }
  let end = { chunk: last, at: 0 };
  while (tail > head && back - pieces[tail - 1]!.length >= front) {
    const { length } = pieces[tail - 1]!;
    const before = inFront(chunks, end, length);
    if (!holdsPiece(chunks, before, length, now, back - length)) break;
    back -= length;
    --tail;
    end = before;
  }
  if (head > 0 && pieces[head - 1]!.length < pieceLength / 2) front -= pieces[--head]!.length;
  if (tail < pieces.length && pieces[tail]!.length < pieceLength / 2) back += pieces[tail++]!.length;
  const made = [...pieces.slice(0, head), ...cutPieces(now, front, back), ...pieces.slice(tail)];
  return new Blob(type, '', rechunk(chunks, first, last, made, now), made, old);
}

function inPlace(old: Blob, now: Buffer, first: number, last: number, start: number, startPiece: number): Blob {
  const chunks = old.chunks.slice();
  const pieces = old.pieces.slice();
  for (let c = first, from = start, at = startPiece; c < last; ++c) {
    const { bytes, pieces: count } = chunks[c]!;
    const end = from + bytes.length;
    if (holds(chunks[c]!, now, from)) {
      from = end;
      at += count;
      continue;
    }
    for (let within = 0; from < end; ++at) {
      const { length } = pieces[at]!;
      if (now.compare(bytes, within, within + length, from, from + length) !== 0) pieces[at] = pieceOf(now, from, from + length);
      within += length;
      from += length;
    }
    chunks[c] = { bytes: Buffer.from(now.subarray(end - bytes.length, end)), pieces: count };
  }
  return new Blob(old.type, '', chunks, pieces, old);
}

/** The chunks before `first` and from `last` on are as they were; those between are made anew. */
function rechunk(chunks: readonly Chunk[], first: number, last: number, pieces: readonly Piece[], now: Buffer): Chunk[] {
  let head = 0;
  let from = 0;
  for (let c = 0; c < first; ++c) {
    head += chunks[c]!.pieces;
    from += chunks[c]!.bytes.length;
  }
  let tail = 0;
  for (let c = last; c < chunks.length; ++c) tail += chunks[c]!.pieces;
  // A short piece that was taken in at a seam belongs to a chunk beside: then all are made anew.
  const lengthOf = (some: readonly Piece[]): number => some.reduce((sum, piece) => sum + piece.length, 0);
  const behindThem = chunks.slice(last).reduce((sum, chunk) => sum + chunk.bytes.length, 0);
  const fits = head + tail <= pieces.length && lengthOf(pieces.slice(0, head)) === from &&
    lengthOf(pieces.slice(pieces.length - tail)) === behindThem;
  if (!fits) return chunksOf(pieces, now, 0);
  return [...chunks.slice(0, first), ...chunksOf(pieces.slice(head, pieces.length - tail), now, from), ...chunks.slice(last)];
}

export function chunksOf(pieces: readonly Piece[], now: Buffer, start: number): Chunk[] {
  const chunks: Chunk[] = [];
  for (let at = 0, from = start; at < pieces.length; at += chunkPieces) {
    const some = pieces.slice(at, at + chunkPieces);
    const to = some.reduce((end, piece) => end + piece.length, from);
    chunks.push({ bytes: Buffer.from(now.subarray(from, to)), pieces: some.length });
    from = to;
  }
  return chunks;
}

interface Place {
  readonly chunk: number;
  readonly at: number;
}

function behind(chunks: readonly Chunk[], { chunk, at }: Place, length: number): Place {
  return at + length < chunks[chunk]!.bytes.length ? { chunk, at: at + length } : { chunk: chunk + 1, at: 0 };
}

function inFront(chunks: readonly Chunk[], { chunk, at }: Place, length: number): Place {
  return at > 0 ? { chunk, at: at - length } : { chunk: chunk - 1, at: chunks[chunk - 1]!.bytes.length - length };
}

function holdsPiece(chunks: readonly Chunk[], { chunk, at }: Place, length: number, now: Buffer, from: number): boolean {
  return now.compare(chunks[chunk]!.bytes, at, at + length, from, from + length) === 0;
}

function holds({ bytes }: Chunk, now: Buffer, from: number): boolean {
  return from + bytes.length <= now.length && now.compare(bytes, 0, bytes.length, from, from + bytes.length) === 0;
}

/** Is `live` what the bytes of this blob were? */
export function sameAsBlob({ chunks, length }: Blob, live: Uint8Array): boolean {
  if (length !== live.length) return false;
  const now = Buffer.from(live.buffer, live.byteOffset, live.byteLength);
  let from = 0;
  for (const chunk of chunks) {
    if (!holds(chunk, now, from)) return false;
    from += chunk.bytes.length;
  }
  return true;
}

function pieceOf(live: string | Uint8Array, from: number, to: number): Piece {
  return new Piece(to - from, typeof live === 'string' ? live.substring(from, to) : Buffer.from(live.subarray(from, to)));
}

function cutPieces(live: string | Uint8Array, from: number, to: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = from; at < to; ) {
    let end = to - at < pieceLength + pieceLength / 2 ? to : at + pieceLength;
    // The halves of a surrogate pair stay together.
    if (typeof live === 'string' && end < to && (live.charCodeAt(end - 1) & 0xfc00) === 0xd800) ++end;
    pieces.push(pieceOf(live, at, end));
    at = end;
  }
  return pieces;
}
