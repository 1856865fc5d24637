/** Cuts long texts and bytes into pieces, keeping the pieces before and behind what changed. */
import { sameBytes } from './bytes';
import { Blob, Piece, pieceLength } from './shadow';

export function blobOf(type: number, live: string | Uint8Array, old: Blob | undefined): Blob {
  if (old === undefined || old.type !== type) return new Blob(type, owned(live), cutPieces(live, 0, live.length));
  const { pieces } = old;
  if (same(old.whole, live)) return old;
  let front = 0;
  let head = 0;
  while (head < pieces.length && startsAt(pieces[head]!, live, front)) front += pieces[head++]!.data.length;
  let back = live.length;
  let tail = pieces.length;
  while (tail > head) {
    const { length } = pieces[tail - 1]!.data;
    if (back - length < front || !startsAt(pieces[tail - 1]!, live, back - length)) break;
    back -= length;
    --tail;
  }
  // A short piece at the seam is taken in, so that many small changes don't leave many small pieces.
  if (head > 0 && pieces[head - 1]!.data.length < pieceLength / 2) front -= pieces[--head]!.data.length;
  if (tail < pieces.length && pieces[tail]!.data.length < pieceLength / 2) back += pieces[tail++]!.data.length;
  const made = [...pieces.slice(0, head), ...cutPieces(live, front, back), ...pieces.slice(tail)];
  return new Blob(type, owned(live), made, old);
}

function same(a: string | Uint8Array, b: string | Uint8Array): boolean {
  return typeof a === 'string' || typeof b === 'string' ? a === b : sameBytes(a, b);
}

/** Bytes may be changed in place later, texts not. */
function owned(live: string | Uint8Array): string | Uint8Array {
  return typeof live === 'string' ? live : live.slice();
}

function startsAt({ data }: Piece, live: string | Uint8Array, at: number): boolean {
  if (at + data.length > live.length) return false;
  if (typeof live === 'string') return live.substring(at, at + data.length) === data;
  return sameBytes(live.subarray(at, at + data.length), data as Uint8Array);
}

function cutPieces(live: string | Uint8Array, from: number, to: number): Piece[] {
  const pieces: Piece[] = [];
  for (let at = from; at < to; ) {
    let end = to - at < pieceLength + pieceLength / 2 ? to : at + pieceLength;
    // The halves of a surrogate pair stay together.
    if (typeof live === 'string' && end < to && (live.charCodeAt(end - 1) & 0xfc00) === 0xd800) ++end;
    pieces.push(new Piece(typeof live === 'string' ? live.substring(at, end) : live.slice(at, end)));
    at = end;
  }
  return pieces;
}
