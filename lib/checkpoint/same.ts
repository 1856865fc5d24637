/**
 * Is a value what a shadow was made of? Each field is looked at and nothing is made of it; what
 * compares for changes goes on from here (`compare.ts`).
 */
import { types } from 'node:util';

import { isDense, isOpaque, isPlain, opaqueError } from '../plain-data';
import { bytesOf, bytesType, sameBytes } from './bytes';
import { encodeOther, flatten, isInstance, OTHER, shapeOf } from './kinds';
import { sameAsBlob } from './pieces';
import { ARRAY, Blob, OBJECT, type Shadow, STRUCTURED, TEXT, Tree } from './shadow';

/**
 * Gives the stand-in that is stored for an instance of a class, or the instance itself. `guarded`:
 * the stand-in depends on nothing but the instance's own fields, so it need not be made again while
 * those are the same.
 */
export type View = (live: object) => { readonly value: unknown; readonly guarded: boolean };

export interface SameOptions {
  /** Objects are never changed in place: the same object is the same value. */
  readonly immutable?: boolean;
  readonly view?: View;
  /** Functions and symbols become undefined instead of being refused. */
  readonly lenient?: boolean;
}

export class Sameness {
  protected readonly lenient: boolean;
  protected readonly immutable: boolean;
  protected readonly view: View | undefined;
  /** The containers around what is looked at: the first `depth` of them. */
  protected readonly path: object[] = [];
  protected depth = 0;

  constructor({ immutable = false, view, lenient = false }: SameOptions) {
    this.lenient = lenient;
    this.immutable = immutable;
    this.view = view;
  }

  /** Is `live` what `old` is a shadow of? */
  same(old: Shadow, live: unknown): boolean {
    if (typeof old !== 'object' || old === null) return isSame(old, live);
    if (typeof live !== 'object' || live === null)
      return (
        typeof live === 'string' && old instanceof Blob && old.type === TEXT && old.text === live
      );
    if (old instanceof Tree) return this.sameTree(old, live);
    switch (old.kind) {
      case 'back':
        return this.depth >= old.up && this.path[this.depth - old.up] === live;
      case 'moment':
        return types.isDate(live) && Object.is(live.getTime(), old.ms);
      case 'blob':
        if (old.type === TEXT) return false;
        if (old.type === STRUCTURED) return sameAsBlob(old, encodeOther(live));
        return bytesType(live) === old.type && sameAsBlob(old, bytesOf(live));
      case 'opaque':
        if (old.type !== STRUCTURED)
          return bytesType(live) === old.type && sameBytes(old.bytes, bytesOf(live));
        return (
          this.shapeOf(live) === OTHER &&
          bytesType(live) === 0 &&
          !types.isDate(live) &&
          sameBytes(old.bytes, encodeOther(live))
        );
    }
  }

  protected shapeOf(live: object): number {
    const shape = shapeOf(live);
    if (this.lenient) return shape;
    // What has holes, or properties beside its elements, is kept whole.
    if (shape === ARRAY) return isDense(live as unknown[]) ? ARRAY : OTHER;
    if (isInstance(live, shape) && isOpaque(live)) throw opaqueError(live);
    return shape;
  }

  private sameTree(old: Tree, live: object): boolean {
    if (this.immutable && old.live === live) return true;
    if (old.shape === OBJECT && (old.seen === live || isPlain(live)))
      return this.sameRecord(old, live as Record<string, unknown>, true);
    if (old.shape === ARRAY && this.lenient && Array.isArray(live))
      return this.sameItems(old, live, live);
    const shape = this.shapeOf(live);
    if (shape === OTHER) return false;
    if (this.view !== undefined && isInstance(live, shape)) {
      if (old.guard !== undefined) return isGuarded(old.guard, live);
      const { value } = this.view(live);
      if (value !== live) return this.same(old, value);
    }
    if (shape !== old.shape) return false;
    if (shape === OBJECT) return this.sameRecord(old, live as Record<string, unknown>, false);
    return this.sameItems(old, live, shape === ARRAY ? (live as unknown[]) : flatten(live, shape));
  }

  /** Are these the fields of a plain object, or of an instance whose class is the same? */
  private sameRecord({ items }: Tree, live: Record<string, unknown>, plain: boolean): boolean {
    const { length } = items;
    let i = 0;
    let last = '';
    this.path[this.depth++] = live;
    for (const key in live) {
      if (i >= length) {
        // What an instance inherits comes last, and is no field of it.
        if (!plain && !Object.hasOwn(live, key)) break;
        i = -1;
        break;
      }
      const before = items[i + 1];
      const now = live[key];
      if (items[i] !== key && !this.same(items[i], key)) i = -1;
      else if ((before !== now || isZero(now)) && !this.same(before, now)) i = -1;
      if (i < 0) break;
      last = key;
      i += 2;
    }
    --this.depth;
    return i === length && (plain || i === 0 || Object.hasOwn(live, last));
  }

  private sameItems({ leaves }: Tree, live: object, found: readonly unknown[]): boolean {
    let at = 0;
    let same = true;
    this.path[this.depth++] = live;
    for (let l = 0; l < leaves.length && same; ++l) {
      const { items } = leaves[l]!;
      same = at + items.length <= found.length;
      for (let i = 0; i < items.length && same; ++i, ++at) {
        const now = found[at];
        if (items[i] !== now || isZero(now)) same = this.same(items[i], now);
      }
    }
    --this.depth;
    return same && at === found.length;
  }
}

export function isGuarded(
  { prototype, fields }: NonNullable<Tree['guard']>,
  live: object,
): boolean {
  return Object.getPrototypeOf(live) === prototype && fields.reflects(live, true);
}

/** Object.is, quicker for what is mostly the same. */
export function isSame(a: unknown, b: unknown): boolean {
  return a === b ? !isZero(a) || Object.is(a, b) : a !== a && b !== b;
}

/**
 * 0 and -0 are told apart by Object.is alone. The type is asked first: most of what is looked at is
 * the very text or flag it was.
 */
export function isZero(value: unknown): boolean {
  return typeof value === 'number' && value === 0;
}
