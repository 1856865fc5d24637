/** Tells two saved values apart. What they share is not looked into: its refs are the same. */
import { isDeepStrictEqual } from 'node:util';

import { revive } from './revive';
import { ARRAY, MAP, OBJECT, type Ref, type Shadow, Tree } from './shadow';

export interface Difference {
  /** Keys and indices from the root; what is in a Set is told as a change of the whole Set. */
  readonly path: readonly unknown[];
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before?: unknown;
  readonly after?: unknown;
}

export function differences(before: Shadow, after: Shadow): Difference[] {
  const found: Difference[] = [];
  compare(before, after, [], found);
  return found;
}

function compare(before: Shadow, after: Shadow, path: readonly unknown[], found: Difference[]): void {
  if (isShared(before, after)) return;
  if (isTree(before) && isTree(after) && before.shape === after.shape) {
    if (before.shape === ARRAY) return compareArrays(before, after, path, found);
    if (before.shape === OBJECT || before.shape === MAP) return compareEntries(before, after, path, found);
  }
  const was = revive(before);
  const is = revive(after);
  if (!isDeepStrictEqual(was, is)) found.push({ path, kind: 'changed', before: was, after: is });
}

function isTree(shadow: Shadow): shadow is Tree {
  return shadow instanceof Tree;
}

function isShared(a: Shadow, b: Shadow): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b);
  if ((a.kind !== 'tree' && a.kind !== 'blob') || (b.kind !== 'tree' && b.kind !== 'blob')) return false;
  return sameRef(a.top.ref, b.top.ref);
}

function sameRef(a: Ref | undefined, b: Ref | undefined): boolean {
  return a !== undefined && b !== undefined && a.page === b.page && a.slot === b.slot;
}

function compareArrays(before: Tree, after: Tree, path: readonly unknown[], found: Difference[]): void {
  const was = before.items;
  const is = after.items;
  for (let at = 0; at < Math.max(was.length, is.length); ++at) {
    const here = [...path, at];
    if (at >= was.length) found.push({ path: here, kind: 'added', after: revive(is[at]) });
    else if (at >= is.length) found.push({ path: here, kind: 'removed', before: revive(was[at]) });
    else compare(was[at], is[at], here, found);
  }
}

function compareEntries(before: Tree, after: Tree, path: readonly unknown[], found: Difference[]): void {
  const was = entriesOf(before);
  const is = entriesOf(after);
  for (const [key, item] of was) {
    if (is.has(key)) compare(item, is.get(key), [...path, key], found);
    else found.push({ path: [...path, key], kind: 'removed', before: revive(item) });
  }
  for (const [key, item] of is) {
    if (!was.has(key)) found.push({ path: [...path, key], kind: 'added', after: revive(item) });
  }
}

function entriesOf(tree: Tree): Map<unknown, Shadow> {
  const entries = new Map<unknown, Shadow>();
  for (const { items } of tree.leaves) {
    for (let at = 0; at < items.length; at += 2) entries.set(revive(items[at]), items[at + 1]);
  }
  return entries;
}
