/** Changes to a tree, in the order of its items, that keep the leaves where nothing changed. */
import { cut, hasRoom, Leaf, overgrown, type Shadow, strides, Tree } from './shadow';

export class Editor {
  /** The leaves so far, those of the old tree's first `taken`. */
  private readonly leaves: Leaf[] = [];
  private taken = 0;
  /** The leaf that is looked at, its items as they will be, and the place of the first. */
  private leaf = 0;
  private items: Shadow[] | undefined;
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
    this.items ??= leaves[this.leaf]!.items.slice();
    this.items[at - this.start] = item;
  }

  /** The same, by leaf and place in it. */
  setIn(leaf: number, at: number, item: Shadow): void {
    if (leaf !== this.leaf) {
      this.finishLeaf();
      this.leaf = leaf;
    }
    this.items ??= this.old.leaves[leaf]!.items.slice();
    this.items[at] = item;
  }

  append(item: Shadow): void {
    (this.more ??= []).push(item);
  }

  finish(): Tree {
    const old = this.old;
    const leaves = this.leaves;
    this.finishLeaf();
    while (this.taken < old.leaves.length) leaves.push(old.leaves[this.taken++]!);
    if (this.more !== undefined) {
      const stride = strides[old.shape]!;
      const last = leaves.at(-1)!;
      if (hasRoom(last, this.more[0])) {
        leaves.pop();
        leaves.push(...cut([...last.items, ...this.more], stride));
      } else leaves.push(...cut(this.more, stride));
    }
    return new Tree(old.shape, leaves, old);
  }

  private finishLeaf(): void {
    if (this.items === undefined) return;
    const leaves = this.leaves;
    while (this.taken < this.leaf) leaves.push(this.old.leaves[this.taken++]!);
    ++this.taken;
    const stride = strides[this.old.shape]!;
    const leaf = new Leaf(this.items);
    if (overgrown(leaf, stride)) leaves.push(...cut(this.items, stride));
    else leaves.push(leaf);
    this.items = undefined;
  }
}
