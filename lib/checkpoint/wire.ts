/**
 * How shadows become bytes (`writing.ts`) and come back (`reading.ts`): what both must know.
 *
 * A page holds slots, each one node: the items of a leaf, the children of a spine, the bytes of a
 * piece. A ref is a page and a slot. A slot that nobody refers to any more may be empty in a page
 * that was pruned.
 *
 *   page   count, length of each slot, the slots; all numbers here are varints
 *   leaf   count of items, the items        piece   its bytes
 *   spine  32 + count of children, runs of them that lie one behind the other: page, first slot,
 *          how many; or a part of one piece: page, slot, 0, where it begins, its length (before
 *          there were runs: count, refs)
 *   item   a tag byte and what belongs to it, see `tags`
 */
import { HoldfastError } from '../errors';

export const tags = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  /** Zigzag varint. */ integer: 4,
  float: 5,
  /** Length, UTF-8. */ text: 6,
  /** Length, UTF-16: text with half a surrogate pair. */ text16: 7,
  /** As a decimal text. */ bigint: 8,
  moment: 9,
  /** Type, length, bytes. */ opaque: 10,
  /** Levels up. */ back: 11,
  /** Shape, count, items. */ inline: 12,
  /** Shape, height, ref. */ tree: 13,
  /** Type, height, ref. */ blob: 14,
  /** And the shape, and four times the height, up to 3; ref. */ lowTree: 0x10,
  /** Of text. And the height, up to 7; ref. */ lowText: 0x20,
  /** And the length, up to 63. */ shortText: 0x40,
  /** And the number, up to 127. */ smallInteger: 0x80,
} as const;

/** Heights that a tag has room for. */
export const lowTrees = 4;
export const lowTexts = 8;

/** Nodes of former versions have their number of children here, which is never that large. */
export const inRuns = 32;

export function damaged(what: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CORRUPT',
    `A stored checkpoint cannot be read: ${what}. Run \`holdfast check\` on the pool`,
  );
}
