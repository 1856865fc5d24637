/** Tells two saved values apart. What they share is not looked into: its refs are the same. */
import { isDeepStrictEqual } from 'node:util';

import { structured } from '../codecs';
import { revive } from './revive';
import { ARRAY, Back, MAP, OBJECT, type Ref, type Shadow, Tree } from './shadow';

/** One difference between two states. */
export interface Difference {
  /** Keys and indices from the root. A change in a Set is a change of the whole Set. */
  readonly path: readonly unknown[];
  readonly kind: 'added' | 'removed' | 'changed';
  readonly before?: unknown;
  readonly after?: unknown;
}

export function differences(before: Shadow, after: Shadow): Difference[] {
  const found: Difference[] = [];
  compare(new Part(before), new Part(after), [], found);
  return found;
}

/** One of the two values, or what lies in a part of it. */
class Part {
  #whole: unknown;

  /** `take` finds it in the value of the part around it. */
  constructor(
    readonly shadow: Shadow,
    private readonly around?: Part,
    private readonly take?: (from: never) => unknown,
  ) {}

  /** A fresh value; where a cycle leads out of it, as it stands in the whole one. */
  value(): unknown {
    return leadsOut(this.shadow, 0) ? this.inWhole() : revive(this.shadow);
  }

  private inWhole(): unknown {
    if (this.around === undefined) return (this.#whole ??= revive(this.shadow));
    return this.take!(this.around.inWhole() as never);
  }
}

function leadsOut(shadow: Shadow, depth: number): boolean {
  if (typeof shadow !== 'object' || shadow === null) return false;
  if (shadow.kind === 'back') return shadow.up > depth;
  return shadow.kind === 'tree' && shadow.items.some((item) => leadsOut(item, depth + 1));
}

function compare(before: Part, after: Part, path: readonly unknown[], found: Difference[]): void {
  const [a, b] = [before.shadow, after.shadow];
  if (isShared(a, b)) return;
  if (isTree(a) && isTree(b) && a.shape === b.shape) {
    if (a.shape === ARRAY) return compareArrays(before, after, path, found);
    if (a.shape === OBJECT || a.shape === MAP) return compareEntries(before, after, path, found);
  }
  const was = before.value();
  const is = after.value();
  if (!isDeepStrictEqual(was, is)) found.push({ path, kind: 'changed', before: was, after: is });
}

function isTree(shadow: Shadow): shadow is Tree {
  return shadow instanceof Tree;
}

function isShared(a: Shadow, b: Shadow): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null)
    return Object.is(a, b);
  if (a.kind === 'back' && b.kind === 'back') return a.up === b.up;
  if (a.kind === 'moment' && b.kind === 'moment') return Object.is(a.ms, b.ms);
  if ((a.kind !== 'tree' && a.kind !== 'blob') || (b.kind !== 'tree' && b.kind !== 'blob'))
    return false;
  return sameRef(a.top.ref, b.top.ref);
}

function sameRef(a: Ref | undefined, b: Ref | undefined): boolean {
  return a !== undefined && b !== undefined && a.page === b.page && a.slot === b.slot;
}

function compareArrays(
  before: Part,
  after: Part,
  path: readonly unknown[],
  found: Difference[],
): void {
  const was = (before.shadow as Tree).items;
  const is = (after.shadow as Tree).items;
  for (let at = 0; at < Math.max(was.length, is.length); ++at) {
    if (at < was.length && at < is.length && isShared(was[at], is[at])) continue;
    const here = [...path, at];
    const take = (list: readonly unknown[]): unknown => list[at];
    if (at >= was.length)
      found.push({ path: here, kind: 'added', after: new Part(is[at], after, take).value() });
    else if (at >= is.length)
      found.push({ path: here, kind: 'removed', before: new Part(was[at], before, take).value() });
    else compare(new Part(was[at], before, take), new Part(is[at], after, take), here, found);
  }
}

function compareEntries(
  before: Part,
  after: Part,
  path: readonly unknown[],
  found: Difference[],
): void {
  const was = entriesOf(before);
  const is = entriesOf(after);
  for (const [id, { key, item }] of was) {
    const now = is.get(id);
    if (now !== undefined) compare(item, now.item, [...path, key], found);
    else found.push({ path: [...path, key], kind: 'removed', before: item.value() });
  }
  for (const [id, { key, item }] of is) {
    if (!was.has(id)) found.push({ path: [...path, key], kind: 'added', after: item.value() });
  }
}

interface Entry {
  readonly key: unknown;
  readonly item: Part;
}

function entriesOf(part: Part): Map<unknown, Entry> {
  const { shape, items } = part.shadow as Tree;
  const entries = new Map<unknown, Entry>();
  for (let at = 0; at < items.length; at += 2) {
    const nth = at / 2;
    const key =
      shape === OBJECT
        ? revive(items[at])
        : new Part(
            items[at],
            part,
            (map: ReadonlyMap<unknown, unknown>) => [...map.keys()][nth],
          ).value();
    const take =
      shape === OBJECT
        ? (record: never): unknown => record[key as string]
        : (map: ReadonlyMap<unknown, unknown>): unknown => [...map.values()][nth];
    const entry = { key, item: new Part(items[at + 1], part, take) };
    let id = idOf(items[at], key, 0);
    for (let copy = 1; entries.has(id); ++copy) id = idOf(items[at], key, copy);
    entries.set(id, entry);
  }
  return entries;
}

/**
 * A Map may have objects for keys, and equal ones: the n-th of them is the n-th. What is text is
 * told apart by its first letter.
 */
function idOf(shadow: Shadow, key: unknown, copy: number): unknown {
  if (typeof key === 'string') return `s${key}`;
  if (shadow instanceof Back) return `b${shadow.up}`;
  if (typeof key !== 'object' || key === null) return key;
  return `o${copy} ${Buffer.from(structured.encode(key) as Uint8Array).toString('latin1')}`;
}
