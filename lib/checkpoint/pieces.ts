/**
 * Cuts long texts and bytes into pieces, and finds the pieces that a change left alone.
 *
 * Where the length stayed, every piece is compared in its place, so changes far apart cost what
 * they are; where it did not, what is before and behind the change is kept. Of a piece that changed
 * in part the rest is referred to, where that is worth it. Nothing is looked at piece by piece that
 * can be told to be equal as a whole.
 */
import { native } from '../native-binding';
import { Held } from './held';
import { Blob, leastPiece, Piece, pieceLength, spinesOver } from './shadow';

const { commonBytes } = native;

const fewEnough = 64;
/** Most changes are no longer. */
const fewChanged = 2048;

export function blobOf(type: number, live: string | Uint8Array, old: Blob | undefined): Blob {
  const before = old?.type === type ? old : undefined;
  return typeof live === 'string' ? textBlob(type, live, before) : bytesBlob(type, live, before);
}

function textBlob(type: number, live: string, old: Blob | undefined): Blob {
  if (old === undefined) return new Blob(type, live, undefined, cutPieces(live, 0, live.length));
  const { text } = old;
  const [end, now] = [text.length, live.length];
  const limit = Math.min(end, now);
  const prefix = common(
    limit,
    (from, to) => text.substring(from, to) === live.substring(from, to),
    (at) => text.charCodeAt(at) === live.charCodeAt(at),
  );
  if (prefix === end && end === now) return old;
  const suffix = common(
    limit - prefix,
    (from, to) => text.substring(end - to, end - from) === live.substring(now - to, now - from),
    (at) => text.charCodeAt(end - 1 - at) === live.charCodeAt(now - 1 - at),
    limit - prefix - fewChanged,
  );
  const same =
    end === now
      ? (from: number, to: number): boolean => text.substring(from, to) === live.substring(from, to)
      : undefined;
  return renewed(old, prefix, suffix, live, undefined, same);
}

/**
 * What is shared with other threads may change while it is looked at: what is stored is cut from
 * what is held.
 */
function bytesBlob(type: number, live: Uint8Array, old: Blob | undefined): Blob {
  if (old === undefined) {
    const held = Held.copyOf(live);
    return new Blob(type, '', held, cutPieces(held.bytes, 0, held.length));
  }
  const before = old.held!.bytes;
  const [end, now] = [before.length, live.length];
  const prefix = commonBytes(before, live, false);
  if (prefix === end && end === now) return old;
  const suffix = Math.min(commonBytes(before, live, true), Math.min(end, now) - prefix);
  if (end !== now) {
    const held = Held.copyOf(live);
    return renewed(old, prefix, suffix, held.bytes, held, undefined);
  }
  const { next, replaced } = old.held!.with(prefix, live.subarray(prefix, end - suffix));
  const { bytes } = next;
  return renewed(
    old,
    prefix,
    suffix,
    bytes,
    next,
    (from, to) => bytes.compare(replaced, from - prefix, to - prefix, from, to) === 0,
  );
}

/**
 * Unchanged pieces stay, what is between the prefix and the suffix is cut anew, or piece by piece
 * where lengths did not change.
 */
function renewed(
  { type, pieces, levels }: Blob,
  prefix: number,
  suffix: number,
  live: string | Uint8Array,
  held: Held | undefined,
  same: ((from: number, to: number) => boolean) | undefined,
): Blob {
  const spines = levels[0] ?? [];
  let head = 0;
  let front = 0;
  for (let s = 0; s < spines.length && front + spines[s]!.length <= prefix; ++s) {
    front += spines[s]!.length;
    head += spines[s]!.children.length;
  }
  while (head < pieces.length && front + pieces[head]!.length <= prefix)
    front += pieces[head++]!.length;
  let tail = pieces.length;
  let back = live.length;
  for (
    let s = spines.length - 1;
    s >= 0 &&
    tail - spines[s]!.children.length >= head &&
    live.length - back + spines[s]!.length <= suffix;
    --s
  ) {
    back -= spines[s]!.length;
    tail -= spines[s]!.children.length;
  }
  while (tail > head && live.length - back + pieces[tail - 1]!.length <= suffix)
    back -= pieces[--tail]!.length;
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
    for (let at = head, from = front; at < tail;) {
      const start = at;
      let to = from;
      // The first and the last are known to differ, and where.
      while (at < tail && (at === head || at === tail - 1 || !same(to, to + pieces[at]!.length)))
        to += pieces[at++]!.length;
      if (at - start > 1)
        renew(
          made,
          pieces,
          start,
          at,
          live,
          from,
          to,
          start === head ? prefix - front : 0,
          at === tail ? suffix - (live.length - back) : 0,
        );
      else if (at > start) made.push(pieceOf(live, from, to));
      else {
        made.push(pieces[at]!);
        to += pieces[at++]!.length;
      }
      from = to;
    }
  }
  const text = typeof live === 'string' ? live : '';
  const all = pieces.slice();
  all.splice(head, tail - head, ...made);
  // One alone is referred to as a whole.
  if (all.length === 1 && all[0]!.from >= 0)
    return new Blob(type, text, held, cutPieces(live, 0, live.length));
  return new Blob(type, text, held, all, spinesOver(all, levels, head, pieces.length - tail));
}

/**
 * Adds to `made` what is now in place of the pieces from `head` to `tail`, which is `live` from
 * `front` to `back`. So much on the left of the first and on the right of the last is as it was.
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
  if (keptRight > 0)
    made.push(partOf(last!, last!.length - keptRight, last!.length, live, back - keptRight));
}

/** Of a stored piece a part need not be stored again. */
function partOf(
  piece: Piece,
  from: number,
  to: number,
  live: string | Uint8Array,
  at: number,
): Piece {
  if (piece.ref === undefined) return pieceOf(live, at, at + to - from);
  return new Piece(to - from, undefined, piece.ref, Math.max(0, piece.from) + from);
}

/**
 * How far two texts agree, up to `limit`. By halving: each look compares what is left as a whole,
 * so all of them together go over it about once. The last few one by one. At first it is looked
 * whether they agree so far as is likely.
 */
function common(
  limit: number,
  same: (from: number, to: number) => boolean,
  isSame: (at: number) => boolean,
  likely = 0,
): number {
  let least = 0;
  let most = limit;
  if (likely > 0) {
    if (same(0, likely)) least = likely;
    else most = likely - 1;
  }
  while (most - least > fewEnough) {
    const middle = (least + most + 1) >>> 1;
    if (same(least, middle)) least = middle;
    else most = middle - 1;
  }
  while (least < most && isSame(least)) ++least;
  return least;
}

/** Is `live` what the bytes of this blob were? */
export function sameAsBlob({ held, length }: Blob, live: Uint8Array): boolean {
  return length === live.length && Buffer.compare(held!.bytes, live) === 0;
}

function pieceOf(live: string | Uint8Array, from: number, to: number): Piece {
  return new Piece(
    to - from,
    typeof live === 'string' ? live.substring(from, to) : Buffer.from(live.subarray(from, to)),
  );
}

function cutPieces(live: string | Uint8Array, from: number, to: number): Piece[] {
  const pieces: Piece[] = [];
  cutInto(pieces, live, from, to);
  return pieces;
}

function cutInto(pieces: Piece[], live: string | Uint8Array, from: number, to: number): void {
  const own = typeof live === 'string' ? undefined : Buffer.from(live.subarray(from, to));
  for (let at = from; at < to;) {
    let end = to - at < pieceLength + pieceLength / 2 ? to : at + pieceLength;
    if (end < to && isSplit(live, end)) ++end;
    pieces.push(
      own === undefined
        ? pieceOf(live, at, end)
        : new Piece(end - at, own.subarray(at - from, end - from)),
    );
    at = end;
  }
}

/** Would the halves of a surrogate pair be parted here? */
function isSplit(live: string | Uint8Array, at: number): boolean {
  return (
    typeof live === 'string' &&
    (live.charCodeAt(at - 1) & 0xfc00) === 0xd800 &&
    (live.charCodeAt(at) & 0xfc00) === 0xdc00
  );
}
