/** Changes to a tree, in the order of its items, that keep the leaves where nothing changed. */
import {
  cut,
  hasRoom,
  Leaf,
  overgrown,
  type Shadow,
  sizeOf,
  spinesWith,
  strides,
  Tree,
  weightOf,
} from './shadow';

export class Editor {
  /** As they will be, once one is made anew. */
  private leaves: Leaf[] | undefined;
  /** Which are made anew, where spines lie over them. */
  private places: number[] | undefined;
  private isRecut = false;
  /**
   * The leaf that is looked at, its items as they will be, what they take, and the place of the
   * first.
   */
  private leaf = 0;
  private items: Shadow[] | undefined;
  private size = 0;
  private weight = 0;
  private start = 0;
  private more: Shadow[] | undefined;

  constructor(private readonly old: Tree) {}

  /** Items are changed from the first to the last. */
  set(at: number, item: Shadow): void {
    const { leaves } = this.old;
    while (at >= this.start + leaves[this.leaf]!.items.length) {
      this.finishLeaf();
      this.start += leaves[this.leaf++]!.items.length;
    }
    this.replace(at - this.start, item);
  }

  /** The same, by leaf and place in it. */
  setIn(leaf: number, at: number, item: Shadow): void {
    if (leaf !== this.leaf) {
      this.finishLeaf();
      this.leaf = leaf;
    }
    this.replace(at, item);
  }

  append(item: Shadow): void {
    (this.more ??= []).push(item);
  }

  finish(): Tree {
    const { old, more } = this;
    this.finishLeaf();
    const leaves = this.leaves ?? old.leaves.slice();
    const stride = strides[old.shape]!;
    if (!this.isRecut && more === undefined) {
      return new Tree(
        old.shape,
        leaves,
        old,
        this.places === undefined ? old.levels : spinesWith(leaves, old.levels, this.places),
      );
    }
    const all = this.isRecut
      ? leaves.flatMap((leaf) => (overgrown(leaf, stride) ? cut(leaf.items, stride) : leaf))
      : leaves;
    if (more !== undefined) {
      const last = all.at(-1)!;
      if (hasRoom(last, more[0])) {
        all.pop();
        all.push(...cut([...last.items, ...more], stride));
      } else all.push(...cut(more, stride));
    }
    return new Tree(old.shape, all, old);
  }

  /** What stays is not looked at. */
  private replace(at: number, item: Shadow): void {
    if (this.items === undefined) {
      const { items, size, weight } = this.old.leaves[this.leaf]!;
      this.items = items.slice();
      this.size = size;
      this.weight = weight;
    }
    const before = this.items[at];
    this.size += sizeOf(item) - sizeOf(before);
    this.weight += weightOf(item) - weightOf(before);
    this.items[at] = item;
  }

  private finishLeaf(): void {
    if (this.items === undefined) return;
    const leaf = new Leaf(this.items, this.size, this.weight);
    const { old } = this;
    (this.leaves ??= old.leaves.slice())[this.leaf] = leaf;
    if (old.levels.length > 0) {
      if (this.places === undefined) this.places = [this.leaf];
      else this.places.push(this.leaf);
    }
    if (overgrown(leaf, strides[this.old.shape]!)) this.isRecut = true;
    this.items = undefined;
  }
}
