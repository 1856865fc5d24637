/**
 * What is remembered of a saved value: shapes only, and how they are cut.
 *
 * A shadow is a copy of the value, cut into nodes. Each node that is stored for itself has a `ref`,
 * the place where it lies; a node without one was not written yet. Shadows are never changed once
 * they are made (but for their refs): a change makes new nodes along the path to it and shares all
 * others, so what is unchanged keeps its place.
 *
 *   Tree    an array, object, Map or Set: leaves of consecutive items, under spines of up to 16
 *           nodes each. Small trees have one leaf and are written into the leaf that holds them.
 *   Blob    a long text or bytes, in pieces; a piece may be a part of what is stored
 *   Back    a cycle: the container so many levels up
 *   Opaque  anything else, as the structured codec writes it
 */

import type { Flat } from './flat';
import type { Held } from './held';
import type { Mirror } from './mirror';
import type { Outline } from './outline';

export interface Ref {
  readonly page: number;
  readonly slot: number;
}

export type Primitive = string | number | boolean | bigint | null | undefined;
export type Shadow = Primitive | Tree | Blob | Back | Opaque | Moment;

export const ARRAY = 0;
export const OBJECT = 1;
export const MAP = 2;
export const SET = 3;
/** Items of a tree lie flat; in objects and Maps a key goes before each value. */
export const strides = [1, 2, 2, 1] as const;

/** Bytes a tree may take to be written into its holder. */
const inlineBytes = 160;
const leafBytes = 224;
const refBytes = 12;
const fanOut = 16;
/** Texts and bytes from here on are cut into pieces. */
export const blobLength = 1024;
export const pieceLength = 256;
/** No piece is shorter, so that many small changes don't leave a text in crumbs. */
export const leastPiece = 64;

export class Leaf {
  readonly kind = 'leaf';
  ref: Ref | undefined;
  readonly size: number;
  /** So many fields and elements, with all below them. */
  readonly weight: number;
  /** See `heldBy`; 0 until somebody asks. */
  held = 0;
  /** `size` and `weight` where they are known: else all items are looked at. */
  constructor(
    readonly items: readonly Shadow[],
    size = -1,
    weight = 0,
  ) {
    if (size >= 0) {
      this.size = size;
      this.weight = weight;
      return;
    }
    this.size = 0;
    this.weight = items.length;
    for (let at = 0; at < items.length; ++at) {
      this.size += sizeOf(items[at]);
      this.weight += weightOf(items[at]);
    }
  }
}

export class Piece {
  readonly kind = 'piece';
  constructor(
    readonly length: number,
    /** Until it is stored: its blob has it all. */
    public data: string | Uint8Array | undefined,
    public ref?: Ref,
    /** Where it begins in what is stored; -1: it is all of that. */
    readonly from = -1,
  ) {}
}

export type Node = Leaf | Piece | Spine;
/** Above a tree's leaves or a blob's pieces, the lowest first; the highest is one spine. */
export type Levels = readonly (readonly Spine[])[];

export class Spine {
  readonly kind = 'spine';
  ref: Ref | undefined;
  /**
   * Of all pieces under it, so that most of them need not be looked at to find one; over leaves 0.
   */
  readonly length: number;
  constructor(readonly children: readonly Node[]) {
    let length = 0;
    for (const child of children) if (child.kind !== 'leaf') length += child.length;
    this.length = length;
  }
}

export class Tree {
  // In this order: what comparing looks at lies together, since it goes through all trees at each
  // save.
  readonly shape: number;
  /** So many fields and elements, with all below them. */
  readonly weight: number;
  /**
   * What it was, flat, for comparing. Until that is known: what its outline may be. Null: there is
   * none.
   */
  mirror: Mirror | Outline | null | undefined;
  /**
   * Of a long list: what its items were, in one piece. Only one tree has it, and of others it is
   * made anew.
   */
  flat: Flat | undefined;
  /**
   * A plain object that was this tree when it was last looked at. It is a plain object still;
   * finding that out takes longer than comparing it.
   */
  seen: object | undefined;
  /** Of all leaves; of several they are gathered when somebody asks. */
  private all: readonly Shadow[] | undefined;
  /** The object this was made of, where objects are immutable by convention. */
  live: object | undefined;
  /** What the fields of a class instance were when its stand-in was made; see `View`. */
  guard: { readonly prototype: unknown; readonly fields: Mirror } | undefined;
  /** Written into the leaf that holds it. */
  readonly inline: boolean;
  /** The node that leads to all others. */
  readonly top: Node;
  readonly levels: Levels;
  /** Where its top lies, once that is stored: it is referred to without looking further. */
  ref: Ref | undefined;
  readonly leaves: readonly Leaf[];
  readonly kind = 'tree';

  constructor(shape: number, leaves: readonly Leaf[], old?: Tree, levels?: Levels) {
    this.shape = shape;
    this.leaves = old?.inline === true && leaves.length > 1 ? withOwn(leaves, old) : leaves;
    this.levels = levels ?? spinesOver(this.leaves, old?.levels);
    let weight = 0;
    for (let l = 0; l < leaves.length; ++l) weight += leaves[l]!.weight;
    this.weight = weight;
    this.all = leaves.length === 1 ? leaves[0]!.items : undefined;
    this.inline = leaves.length === 1 && leaves[0]!.size <= inlineBytes;
    this.top = this.levels.at(-1)?.[0] ?? leaves[0]!;
  }

  get items(): readonly Shadow[] {
    return (this.all ??= itemsOf(this.leaves));
  }
}

/**
 * What was written into its holder is not stored for itself, or is no longer. The leaf that is will
 * be this tree's alone: others that grow out of `old` do not know whether this one is committed.
 */
function withOwn(leaves: readonly Leaf[], old: Tree): Leaf[] {
  return leaves.map((leaf) =>
    leaf === old.leaves[0] ? new Leaf(leaf.items, leaf.size, leaf.weight) : leaf,
  );
}

function itemsOf(leaves: readonly Leaf[]): Shadow[] {
  const all: Shadow[] = [];
  for (const { items } of leaves) for (let at = 0; at < items.length; ++at) all.push(items[at]);
  return all;
}

/** Numbered as they are stored. */
export const TEXT = 0;
export const STRUCTURED = 1;

export class Blob {
  readonly kind = 'blob';
  readonly levels: Levels;
  readonly length: number;
  constructor(
    /**
     * TEXT, STRUCTURED (bytes of the structured codec), or a type of bytes from
     * lib/checkpoint/bytes.ts.
     */
    readonly type: number,
    readonly text: string,
    /** What is no text. */
    readonly held: Held | undefined,
    readonly pieces: readonly Piece[],
    levels?: Levels,
  ) {
    this.levels = levels ?? spinesOver(pieces, undefined);
    this.length = held === undefined ? text.length : held.length;
  }

  get top(): Node {
    return this.levels.at(-1)?.[0] ?? this.pieces[0]!;
  }

  /** A copy. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.held!.bytes);
  }
}

export class Back {
  readonly kind = 'back';
  constructor(readonly up: number) {}
}

export class Moment {
  readonly kind = 'moment';
  constructor(readonly ms: number) {}
}

/** Short bytes have a type of bytes; anything else is STRUCTURED. */
export class Opaque {
  readonly kind = 'opaque';
  constructor(
    readonly type: number,
    readonly bytes: Uint8Array,
  ) {}
}

/** Bytes it takes where it is an item, about. */
export function sizeOf(shadow: Shadow): number {
  switch (typeof shadow) {
    case 'string':
      return shadow.length + 2;
    case 'number':
      return 5;
    case 'bigint':
      return 12;
    case 'object':
      if (shadow === null) return 1;
      if (shadow.kind === 'tree') return shadow.inline ? shadow.leaves[0]!.size + 3 : refBytes;
      if (shadow.kind === 'opaque') return shadow.bytes.length + 4;
      return refBytes;
    default:
      return 1;
  }
}

/** Bytes of memory that a tree takes without its items, and an item without what it is, about. */
const treeBytes = 400;
const itemBytes = 16;

/**
 * Bytes of memory it keeps, about. Of a later version only what is new is looked at, and the list
 * of leaves.
 */
export function heldBy(shadow: Shadow): number {
  if (typeof shadow === 'string') return itemBytes + shadow.length;
  if (typeof shadow !== 'object' || shadow === null) return itemBytes;
  if (shadow.kind === 'blob') return treeBytes + shadow.length;
  if (shadow.kind === 'opaque') return itemBytes + shadow.bytes.length;
  if (shadow.kind !== 'tree') return itemBytes;
  let held = treeBytes;
  for (const leaf of shadow.leaves) {
    if (leaf.held === 0) for (const item of leaf.items) leaf.held += heldBy(item);
    held += leaf.held;
  }
  return held;
}

/** Fields and elements below it. */
export function weightOf(shadow: Shadow): number {
  return shadow instanceof Tree ? shadow.weight : 0;
}

/** Is any of it stored as a node? */
export function hasNodes(shadow: Shadow): boolean {
  if (typeof shadow !== 'object' || shadow === null) return false;
  if (shadow.kind === 'tree') return !shadow.inline || shadow.items.some(hasNodes);
  return shadow.kind === 'blob';
}

/** Cuts items into leaves. */
export function cut(items: readonly Shadow[], stride: number): Leaf[] {
  const leaves: Leaf[] = [];
  let start = 0;
  let size = 0;
  for (let at = 0; at < items.length; at += stride) {
    let next = sizeOf(items[at]);
    if (stride === 2) next += sizeOf(items[at + 1]);
    if (at > start && size + next > leafBytes) {
      leaves.push(new Leaf(items.slice(start, at)));
      start = at;
      size = 0;
    }
    size += next;
  }
  if (start < items.length || leaves.length === 0) leaves.push(new Leaf(items.slice(start)));
  return leaves;
}

/** Has this leaf grown so much that it should be cut again? */
export function overgrown(leaf: Leaf, stride: number): boolean {
  return leaf.size > 2 * leafBytes && leaf.items.length > stride;
}

/** Can a leaf at a tree's end take more items? */
export function hasRoom(leaf: Leaf, item: Shadow): boolean {
  return leaf.items.length === 0 || leaf.size + sizeOf(item) <= leafBytes;
}

const noSpines: Levels = [];

/**
 * `front` nodes at the beginning and `back` at the end are known to be those that `old` is over.
 */
export function spinesOver(
  nodes: readonly Node[],
  old: Levels | undefined,
  front = 0,
  back = 0,
): Levels {
  if (nodes.length === 1) return noSpines;
  const levels: (readonly Spine[])[] = [];
  let below = nodes;
  while (below.length > 1) {
    const isLowest = levels.length === 0;
    let level = regroup(
      below,
      old?.[levels.length] ?? [],
      isLowest ? front : 0,
      isLowest ? back : 0,
    );
    if (level.length === below.length) level = regroup(below, [], 0, 0);
    levels.push(level);
    below = level;
  }
  return levels;
}

/** Where some nodes were replaced, each by one: `places`, rising. */
export function spinesWith(nodes: readonly Node[], old: Levels, places: readonly number[]): Levels {
  const levels: (readonly Spine[])[] = [];
  let below = nodes;
  let changed = places;
  for (const before of old) {
    const level = before.slice();
    const above: number[] = [];
    for (let at = 0, from = 0, next = 0; next < changed.length; ++at) {
      const to = from + before[at]!.children.length;
      if (changed[next]! < to) {
        level[at] = new Spine(below.slice(from, to));
        above.push(at);
        while (next < changed.length && changed[next]! < to) ++next;
      }
      from = to;
    }
    levels.push(level);
    below = level;
    changed = above;
  }
  return levels;
}

/**
 * Spines over `nodes`: those of `old` stay where all that is under them did, wherever it moved to.
 */
function regroup(
  nodes: readonly Node[],
  old: readonly Spine[],
  front: number,
  back: number,
): readonly Spine[] {
  let head = 0;
  let from = 0;
  while (head < old.length && from + old[head]!.children.length <= front)
    from += old[head++]!.children.length;
  while (head < old.length && covers(old[head]!, nodes, from)) from += old[head++]!.children.length;
  let tail = old.length;
  let to = nodes.length;
  const same = Math.max(from, nodes.length - back);
  while (tail > head && to - old[tail - 1]!.children.length >= same)
    to -= old[--tail]!.children.length;
  while (
    tail > head &&
    to - old[tail - 1]!.children.length >= from &&
    covers(old[tail - 1]!, nodes, to - old[tail - 1]!.children.length)
  ) {
    to -= old[--tail]!.children.length;
  }
  if (from === to && head === old.length) return old;
  // Lists grow at their end: there spines are filled. Elsewhere they are kept half full at least,
  // so there are few of them.
  const isEnd = to === nodes.length;
  if (
    from < to &&
    head > 0 &&
    (isEnd ? old[head - 1]!.children.length < fanOut : to - from < fanOut / 2)
  )
    from -= old[--head]!.children.length;
  else if (from < to && head === 0 && !isEnd && to - from < fanOut / 2)
    to += old[tail++]!.children.length;
  const groups = Math.ceil((to - from) / fanOut);
  const level = old.slice(0, head);
  for (let left = groups; left > 0; --left) {
    const count = isEnd ? Math.min(fanOut, to - from) : Math.ceil((to - from) / left);
    level.push(new Spine(nodes.slice(from, from + count)));
    from += count;
  }
  for (; tail < old.length; ++tail) level.push(old[tail]!);
  return level;
}

function covers({ children }: Spine, nodes: readonly Node[], at: number): boolean {
  if (at + children.length > nodes.length) return false;
  for (let i = 0; i < children.length; ++i) if (children[i] !== nodes[at + i]) return false;
  return true;
}
