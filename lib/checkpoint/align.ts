/**
 * Lays a changed sequence on the old one: items that are still there keep their leaf, wherever they
 * moved to together.
 *
 * Keyed items (objects, Maps) are found by their keys; items of arrays and Sets by looking for
 * where the old sequence goes on, first nearby, and only so far that the cost stays linear.
 */
import { cut, Leaf, type Shadow, strides, Tree } from './shadow';

const gone = -1;

/** What is asked about single items: compare.ts answers. */
export interface ItemComparer {
  same(was: Shadow, live: unknown): boolean;
  build(live: unknown): Shadow;
  update(was: Shadow, live: unknown): Shadow;
}

interface Aligned {
  /** The new items. */
  readonly items: Shadow[];
  /** For each entry of the new sequence which old entry it is, unchanged; or `gone`. */
  readonly from: Int32Array;
}

/**
 * `same`: so many items at the front are known to be what they were; of keyed ones, both of each
 * pair.
 */
export function align(comparer: ItemComparer, old: Tree, live: readonly unknown[], same = 0): Tree {
  if (strides[old.shape] === 1) return alignItems(comparer, old, live, same);
  return treeOf(old, reuse(old.leaves, alignKeyed(comparer, old.items, live, same), 2), 2);
}

function treeOf(old: Tree, leaves: readonly Leaf[], stride: number): Tree {
  if (leaves.length === old.leaves.length && leaves.every((leaf, l) => leaf === old.leaves[l]))
    return old;
  if (leaves.length === 0 && old.items.length === 0) return old;
  return new Tree(old.shape, leaves.length > 0 ? leaves : cut([], stride), old);
}

/**
 * Leaves before and behind what changed are kept as they are; only what lies between is laid item
 * by item.
 */
function alignItems(
  comparer: ItemComparer,
  old: Tree,
  live: readonly unknown[],
  same: number,
): Tree {
  const { leaves } = old;
  const starts = new Int32Array(leaves.length + 1);
  for (let l = 0; l < leaves.length; ++l) starts[l + 1] = starts[l]! + leaves[l]!.items.length;
  const total = starts[leaves.length]!;
  let front = 0;
  let prefix = same;
  for (let isSame = true; front < leaves.length && isSame;) {
    const { items } = leaves[front]!;
    while (isSame && prefix < starts[front + 1]!) {
      isSame = prefix < live.length && comparer.same(items[prefix - starts[front]!], live[prefix]);
      if (isSame) ++prefix;
    }
    if (isSame) ++front;
  }
  let back = leaves.length;
  const shift = live.length - total;
  for (let isSame = true; back > front && isSame;) {
    const { items } = leaves[back - 1]!;
    const start = starts[back - 1]!;
    isSame = start + shift >= starts[front]!;
    for (let i = items.length - 1; isSame && i >= 0; --i)
      isSame = comparer.same(items[i], live[start + i + shift]);
    if (isSame) --back;
  }
  const between = leaves.slice(front, back);
  const before = between.flatMap((leaf) => leaf.items);
  const aligned = alignSequence(comparer, before, live.slice(starts[front], starts[back]! + shift));
  return treeOf(
    old,
    [...leaves.slice(0, front), ...reuse(between, aligned, 1), ...leaves.slice(back)],
    1,
  );
}

function alignKeyed(
  comparer: ItemComparer,
  before: readonly Shadow[],
  live: readonly unknown[],
  same: number,
): Aligned {
  const places = new Map<unknown, number>();
  for (let at = 0; at < before.length; at += 2) {
    const key = before[at];
    if (typeof key !== 'object' || key === null) places.set(key, at);
  }
  const items: Shadow[] = [];
  const from = new Int32Array(live.length / 2).fill(gone);
  for (let at = 0; at < live.length; at += 2) {
    // A getter may have changed what there is.
    if (at < same && live[at] === before[at]) {
      items.push(before[at], before[at + 1]);
      from[at / 2] = at / 2;
      continue;
    }
    let place = places.get(live[at]);
    // A key that is an object is looked for where it was.
    if (place === undefined && at < before.length && comparer.same(before[at], live[at]))
      place = at;
    if (place === undefined) {
      items.push(comparer.build(live[at]), comparer.build(live[at + 1]));
      continue;
    }
    const value = comparer.update(before[place + 1], live[at + 1]);
    items.push(before[place], value);
    if (Object.is(value, before[place + 1])) from[at / 2] = place / 2;
  }
  return { items, from };
}

function alignSequence(
  comparer: ItemComparer,
  before: readonly Shadow[],
  live: readonly unknown[],
): Aligned {
  const items: Shadow[] = new Array<Shadow>(live.length);
  const from = new Int32Array(live.length).fill(gone);
  const keep = (to: number, place: number): void => {
    items[to] = before[place];
    from[to] = place;
  };
  let end = live.length;
  let oldEnd = before.length;
  let p = 0;
  let q = 0;
  while (q < end && p < oldEnd && comparer.same(before[p], live[q])) keep(q++, p++);
  while (end > q && oldEnd > p && comparer.same(before[oldEnd - 1], live[end - 1]))
    keep(--end, --oldEnd);
  let budget = 4 * (before.length + live.length);
  while (q < end && p < oldEnd) {
    if (comparer.same(before[p], live[q])) {
      keep(q++, p++);
      continue;
    }
    const changed = q + 1 < end && p + 1 < oldEnd && comparer.same(before[p + 1], live[q + 1]);
    let skip = 0;
    if (!changed) {
      const reach = Math.max(oldEnd - p, end - q);
      for (let d = 1; d < reach && budget > 0; ++d, budget -= 2) {
        if (p + d < oldEnd && comparer.same(before[p + d], live[q])) skip = d;
        else if (q + d < end && comparer.same(before[p], live[q + d])) skip = -d;
        if (skip !== 0) break;
      }
    }
    if (skip > 0) p += skip;
    else if (skip < 0) for (; skip < 0; ++skip, ++q) items[q] = comparer.build(live[q]);
    else {
      items[q] = comparer.update(before[p], live[q]);
      ++p;
      ++q;
    }
  }
  for (; q < end; ++q) items[q] = comparer.build(live[q]);
  return { items, from };
}

function reuse(old: readonly Leaf[], { items, from }: Aligned, stride: number): Leaf[] {
  // Which leaf begins with an entry.
  const begins = new Map<number, Leaf>();
  let entry = 0;
  for (const leaf of old) {
    begins.set(entry, leaf);
    entry += leaf.items.length / stride;
  }
  const leaves: Leaf[] = [];
  let loose: Shadow[] = [];
  const cutLoose = (): void => {
    if (loose.length > 0) leaves.push(...cut(loose, stride));
    loose = [];
  };
  for (let to = 0; to < from.length;) {
    const leaf = from[to] === gone ? undefined : begins.get(from[to]!);
    const count = leaf === undefined ? 0 : leaf.items.length / stride;
    if (leaf !== undefined && count > 0 && isKept(from, to, count)) {
      cutLoose();
      leaves.push(leaf);
      to += count;
    } else {
      for (let i = 0; i < stride; ++i) loose.push(items[to * stride + i]);
      ++to;
    }
  }
  cutLoose();
  return leaves;
}

function isKept(from: Int32Array, to: number, count: number): boolean {
  if (to + count > from.length) return false;
  for (let i = 1; i < count; ++i) if (from[to + i] !== from[to]! + i) return false;
  return true;
}
