/**
 * Finds what changed: takes the shadow of the last save and the value as it is now, and gives the
 * shadow of now, which shares every node that did not change. Nothing is encoded here.
 */
import { types } from 'node:util';

import { HoldfastError } from '../errors';
import { isPlain, opaqueIn, unstorableError } from '../plain-data';
import { align } from './align';
import { bytesOf, bytesType } from './bytes';
import { Editor } from './editor';
import { Flat } from './flat';
import { buildOther, buildWhole, flatten, isInstance, OTHER } from './kinds';
import { Mirror } from './mirror';
import { blobOf } from './pieces';
import { isGuarded, isSame, isZero, Sameness, type SameOptions } from './same';
import {
  ARRAY,
  Back,
  Blob,
  blobLength,
  cut,
  OBJECT,
  type Shadow,
  STRUCTURED,
  strides,
  TEXT,
  Tree,
} from './shadow';
import { withStandIns } from './stand-ins';
import { mirrorOf, mirrorOfTree } from './taking';
import { isUnchanged } from './unchanged';

export interface CompareOptions extends SameOptions {
  /**
   * What an object or a long text that is new here, or changed, is stored as elsewhere in the
   * family: its nodes are shared.
   */
  readonly known?: (live: object | string) => Tree | Blob | undefined;
}

/**
 * Thrown for a value that reaches the same objects so often that walking all ways to them would not
 * end soon, or that is too deep.
 */
class Tangled extends Error {}

const longList = 64;
/** Parts with no more fields are mostly what they were: that is found out before anything else. */
const smallPart = 64;
/** Those with fewer are compared with what is stored as quickly as with a mirror of it. */
const worthMirror = 8;
/**
 * Deeper values are kept whole: what is walked into here must be walked into when it is read, by
 * whoever reads it.
 */
const deepest = 400;
/** So far away, items are looked for that are no longer where they were. */
const lookAround = 64;

/** The shadow of `value`, sharing with `old` what is unchanged. */
export function compare(
  old: Shadow,
  hasOld: boolean,
  value: unknown,
  options: CompareOptions = {},
): Shadow {
  try {
    const comparer = new Comparer(options);
    return hasOld ? comparer.update(old, value) : comparer.build(value);
  } catch (error) {
    if (error instanceof Tangled) return whole(old, value, options);
    if (error instanceof HoldfastError)
      throw (options.lenient ? opaqueIn(value) : unstorableError(value)) ?? error;
    // A getter or a proxy of the caller's threw.
    const why = types.isNativeError(error) ? `: ${error.message}` : '';
    throw new HoldfastError(
      'ERR_HOLDFAST_CODEC',
      `The value cannot be stored: something in it cannot be read${why}`,
      { cause: error },
    );
  }
}

function whole(old: Shadow, value: unknown, options: CompareOptions): Shadow {
  const { view } = options;
  return buildWhole(old, view === undefined ? value : withStandIns(value, view, options));
}

class Comparer extends Sameness {
  /** What has instances is made anew each time, and would only be kept from being collected. */
  private readonly marks: boolean;
  private readonly known: CompareOptions['known'];
  private asked: object | undefined;
  private visits = 0;
  private distinct: Set<object> | undefined;

  constructor(options: CompareOptions = {}) {
    super(options);
    this.marks = options.view === undefined;
    this.known = options.known;
  }

  update(old: Shadow, live: unknown): Shadow {
    if (typeof old !== 'object' || old === null) return isSame(old, live) ? old : this.build(live);
    if (typeof live !== 'object' || live === null) {
      if (typeof live === 'string' && old instanceof Blob && old.type === TEXT)
        return this.text(old, live);
      return this.build(live);
    }
    if (old instanceof Tree) return this.updateTree(old, live);
    if (
      old instanceof Blob &&
      old.type > STRUCTURED &&
      bytesType(live) === old.type &&
      bytesOf(live).length >= blobLength
    ) {
      const known = this.known?.(live);
      return blobOf(old.type, bytesOf(live), known instanceof Blob ? known : old);
    }
    return this.same(old, live) ? old : this.build(live);
  }

  /** `isChanged`: it is known not to be what it was. */
  private updateTree(old: Tree, live: object, isChanged = false): Shadow {
    if (isChanged) {
      // Nothing to ask.
    } else if (this.view !== undefined && old.guard !== undefined) {
      if (isGuarded(old.guard, live)) return old;
    } else if (this.immutable) {
      if (old.live === live) return old;
    } else if (old.weight < worthMirror) {
      if (isUnchanged(old, live, this.lenient)) return old;
    } else if (old.weight <= smallPart && this.isReflected(old, live)) return old;
    const known = this.known?.(live);
    if (known !== undefined && known !== old) return this.update(known, live);
    // The commonest cases, made short.
    if (old.shape === OBJECT && (old.seen === live || isPlain(live)))
      return this.updateContainer(old, live, OBJECT, true);
    const shape =
      old.shape === ARRAY && Array.isArray(live) ? this.listShape(live) : this.shapeOf(live);
    if (shape === OTHER) return this.build(live);
    if (this.view !== undefined && isInstance(live, shape)) return this.standIn(old, live);
    return this.updateContainer(old, live, shape, false);
  }

  /**
   * Of a small part: is it what its mirror says? Where this says no it may be the same all the
   * same.
   */
  private isReflected(old: Tree, live: object): boolean {
    const { mirror } = old;
    if (mirror instanceof Mirror)
      return (
        (old.seen === live || old.shape !== OBJECT || isPlain(live)) &&
        mirror.reflects(live, this.lenient)
      );
    if (!isUnchanged(old, live, this.lenient)) return false;
    if (mirror !== null) old.mirror = mirrorOfTree(old, mirror) ?? null;
    return true;
  }

  build(live: unknown): Shadow {
    switch (typeof live) {
      case 'string':
        return live.length < blobLength ? live : this.longText(live, undefined);
      case 'function':
      case 'symbol':
        if (this.lenient) return undefined;
        throw new HoldfastError(
          'ERR_HOLDFAST_CODEC',
          `The value cannot be stored: there is a ${typeof live} in it`,
        );
      case 'object':
        return live === null ? null : this.buildObject(live);
      default:
        return live as Shadow;
    }
  }

  /**
   * Of a list that was one before. In a long one properties beside its elements are not looked for
   * again: that costs as much as comparing it.
   */
  private listShape(live: unknown[]): number {
    return live.length <= longList ? this.shapeOf(live) : ARRAY;
  }

  private text(old: Blob, live: string): Shadow {
    if (old.text === live) return old;
    return live.length < blobLength ? live : this.longText(live, old);
  }

  private longText(live: string, old: Blob | undefined): Shadow {
    return this.known?.(live) ?? blobOf(TEXT, live, old);
  }

  private buildObject(live: object): Shadow {
    for (let above = this.depth - 1; above >= 0; --above) {
      if (this.path[above] === live) return new Back(this.depth - above);
    }
    const known = live === this.asked ? undefined : this.known?.(live);
    if (known !== undefined) return this.updateKnown(known, live);
    const shape = this.shapeOf(live);
    if (shape === OTHER) return buildOther(live);
    if (this.view !== undefined && isInstance(live, shape)) return this.standIn(undefined, live);
    this.count(live);
    return this.buildContainer(live, shape);
  }

  /** An object may have become of another kind since it was stored: then it is built after all. */
  private updateKnown(known: Tree | Blob, live: object): Shadow {
    const { asked } = this;
    this.asked = live;
    const now = this.update(known, live);
    this.asked = asked;
    return now;
  }

  private buildContainer(live: object, shape: number): Tree {
    const items = flatten(live, shape);
    if (this.depth === deepest) throw new Tangled();
    this.path[this.depth++] = live;
    for (let at = 0; at < items.length; ++at) items[at] = this.build(items[at]);
    --this.depth;
    const tree = new Tree(shape, cut(items as Shadow[], strides[shape]!));
    if (this.immutable) tree.live = live;
    else if (this.marks && shape === OBJECT && isPlain(live)) tree.seen = live;
    return tree;
  }

  /** A value that reaches few objects on very many ways is not unrolled. */
  private count(live: object): void {
    this.distinct ??= new Set();
    this.distinct.add(live);
    if (++this.visits > 1000 + 8 * this.distinct.size) throw new Tangled();
  }

  private standIn(old: Tree | undefined, live: object): Shadow {
    const { value, guarded } = this.view!(live);
    if (value === live) {
      // Not one that has a stand-in: its own enumerable fields are what is stored.
      return old === undefined ? this.fields(live) : this.updateContainer(old, live, OBJECT, false);
    }
    const shadow = old === undefined ? this.build(value) : this.update(old, value);
    if (guarded && typeof shadow === 'object' && shadow?.kind === 'tree') {
      const fields = mirrorOf(live);
      shadow.guard = fields && { prototype: Object.getPrototypeOf(live), fields };
    }
    return shadow;
  }

  private fields(live: object): Tree {
    this.count(live);
    return this.buildContainer(live, OBJECT);
  }

  private updateContainer(old: Tree, live: object, shape: number, plain: boolean): Shadow {
    if (shape !== old.shape) return this.build(live);
    this.path[this.depth++] = live;
    const now =
      shape === OBJECT
        ? this.updateRecord(old, live as Record<string, unknown>, plain)
        : shape === ARRAY
          ? this.updateArray(old, live as unknown[])
          : this.realign(old, flatten(live, shape));
    --this.depth;
    if (now instanceof Tree) {
      if (now !== old && old.mirror !== null)
        now.mirror = old.mirror instanceof Mirror ? old.mirror.outline : old.mirror;
      if (this.immutable) now.live = live;
      else if (plain && this.marks && now.seen !== live) now.seen = live;
    }
    return now;
  }

  // In place and at the end first, since that is what states mostly do; anything else is aligned.
  private updateArray(old: Tree, live: unknown[]): Shadow {
    const { leaves } = old;
    const { immutable, lenient } = this;
    const flat = this.flatOf(old);
    /** Places of items that changed. */
    let places: number[] | undefined;
    let editor: Editor | undefined;
    let at = 0;
    let changed = 0;
    let lookAt = 9;
    /** So many items at the front are what they were. */
    let same = 0;
    for (let l = 0; l < leaves.length; ++l) {
      const { items } = leaves[l]!;
      for (let i = 0; i < items.length; ++i, ++at) {
        if (at >= live.length) return this.realignList(old, live, editor === undefined ? at : same);
        const before = items[i];
        const now = live[at];
        if (now === undefined && !(at in live) && !lenient) return buildOther(live);
        if (before === now && !isZero(now)) continue;
        if (
          flat?.reflects(at, now, lenient) === true ||
          (immutable && before instanceof Tree && before.live === now)
        ) {
          changed = 0;
          continue;
        }
        const after =
          flat === undefined ? this.update(before, now) : this.updateIn(old, flat, at, before, now);
        if (isSame(after, before)) {
          changed = 0;
          continue;
        }
        flat?.drop(at);
        if (editor === undefined) same = at;
        if (
          flat?.reflects(at + 1, live[at + 1], lenient) !== true &&
          this.isShifted(old, l, i, live, at)
        )
          return this.realignList(old, live, same);
        // So many in a row: changed where they are, or moved further than by one?
        if (++changed === lookAt) {
          if (this.isMoved(before, live, at, Math.min(lookAt, lookAround)))
            return this.realignList(old, live, same);
          lookAt *= 8;
        }
        (editor ??= new Editor(old)).setIn(l, i, after);
        if (flat !== undefined) {
          if (places === undefined) places = [at];
          else places.push(at);
        }
      }
    }
    for (; at < live.length; ++at) {
      if (live[at] === undefined && !(at in live) && !this.lenient) return buildOther(live);
      (editor ??= new Editor(old)).append(this.build(live[at]));
    }
    if (editor === undefined) return old;
    const made = editor.finish();
    // A getter may have saved the list meanwhile: then the flat memory is that value's.
    if (flat !== undefined && old.flat === flat) {
      old.flat = undefined;
      made.flat = flat;
      if (places !== undefined) this.learnAll(flat, places, made);
    }
    return made;
  }

  /** What has just been made is looked at while it is at hand, not when it is compared next. */
  private learnAll(flat: Flat, places: readonly number[], { leaves }: Tree): void {
    let start = 0;
    let l = 0;
    for (let i = 0; i < places.length; ++i) {
      const at = places[i]!;
      while (at >= start + leaves[l]!.items.length) start += leaves[l++]!.items.length;
      const item = leaves[l]!.items[at - start];
      if (item instanceof Tree && item.weight <= smallPart) this.learn(flat, at, item);
    }
  }

  private learn(flat: Flat, at: number, item: Tree): void {
    const { guard, mirror } = item;
    if (this.view !== undefined && guard !== undefined)
      flat.take(at, guard.fields, guard.prototype, undefined);
    else if (item.shape === OBJECT && mirror !== null) {
      const taken = mirror instanceof Mirror ? mirror : mirrorOfTree(item, mirror);
      item.mirror = taken === undefined ? null : taken.outline;
      if (taken !== undefined) flat.take(at, taken, undefined, item.seen);
    }
  }

  /** What is known flat of a list's items; nothing of a short one, which has a mirror itself. */
  private flatOf(list: Tree): Flat | undefined {
    if (this.immutable || list.weight <= smallPart) return undefined;
    const views = this.view !== undefined;
    if (list.flat?.views !== views) list.flat = new Flat(views);
    return list.flat;
  }

  /**
   * As `update`, of an item that `flat` does not say to be what it was: if it knows nothing of it,
   * it learns what the item still is.
   */
  private updateIn(list: Tree, flat: Flat, at: number, before: Shadow, live: unknown): Shadow {
    if (
      !(before instanceof Tree) ||
      before.weight > smallPart ||
      typeof live !== 'object' ||
      live === null
    )
      return this.update(before, live);
    const { guard } = before;
    if (this.view !== undefined && guard !== undefined) {
      if (flat.knows(at) || !isGuarded(guard, live)) return this.updateTree(before, live, true);
    } else if (before.shape !== OBJECT || before.mirror === null) return this.update(before, live);
    else if (flat.knows(at) || !isUnchanged(before, live, this.lenient))
      return this.updateTree(before, live, true);
    // A getter may have saved the list meanwhile, which then has it.
    if (list.flat === flat) this.learn(flat, at, before);
    return before;
  }

  /** Is the list from here on what it was one item before or behind? */
  private isShifted(
    old: Tree,
    l: number,
    i: number,
    live: readonly unknown[],
    at: number,
  ): boolean {
    const { items } = old.leaves[l]!;
    const next = i + 1 < items.length ? items[i + 1] : old.leaves[l + 1]?.items[0];
    if (next !== undefined && this.same(next, live[at])) return true;
    return at + 1 < live.length && live[at + 1] !== undefined && this.same(items[i], live[at + 1]);
  }

  /**
   * Nearby, unless the very object is to be found: comparing what only looks alike takes longer
   * than building a few again.
   */
  private isMoved(item: Shadow, live: readonly unknown[], at: number, around: number): boolean {
    const object = item instanceof Tree ? (item.live ?? item.seen) : undefined;
    const end = Math.min(live.length, at + lookAround);
    if (object !== undefined && object !== live[at]) {
      for (let place = Math.max(0, at - lookAround); place < end; ++place)
        if (live[place] === object) return true;
    }
    const near = Math.min(live.length, at + around);
    for (let place = Math.max(0, at - around); place < near; ++place)
      if (this.same(item, live[place])) return true;
    return false;
  }

  private updateRecord(old: Tree, live: Record<string, unknown>, plain: boolean): Tree {
    const { items } = old;
    const { length } = items;
    let editor: Editor | undefined;
    let i = 0;
    for (const key in live) {
      if (items[i] !== key) {
        if (!(plain && isPlain(live)) && !Object.hasOwn(live, key)) continue;
        if (i < length) return this.realignRecord(old, editor, live, i);
        editor ??= new Editor(old);
        editor.append(this.build(key));
        editor.append(this.build(live[key]));
        continue;
      }
      const before = items[i + 1];
      const now = live[key];
      if (before !== now || isZero(now)) {
        const after = this.update(before, now);
        if (!isSame(before, after)) (editor ??= new Editor(old)).set(i + 1, after);
      }
      i += 2;
    }
    // What is inherited comes last: if the last of them is its own, all are.
    const owned = plain || length === 0 || Object.hasOwn(live, items[length - 2] as string);
    if (i < length || !owned) return this.realignRecord(old, editor, live, owned ? i : 0);
    return editor === undefined ? old : editor.finish();
  }

  /**
   * Of fields that are no longer the same: so many items at the front are those of `old` with the
   * changes in `editor`, and are not looked at again.
   */
  private realignRecord(
    old: Tree,
    editor: Editor | undefined,
    live: Record<string, unknown>,
    same: number,
  ): Tree {
    return this.realign(
      editor === undefined || same === 0 ? old : editor.finish(),
      flatten(live, OBJECT),
      same,
    );
  }

  /** A list with holes is kept whole; in a long one they have not been looked for. */
  private realignList(old: Tree, live: readonly unknown[], same: number): Shadow {
    if (!this.lenient)
      for (let at = 0; at < live.length; ++at)
        if (live[at] === undefined && !(at in live)) return buildOther(live as object);
    return this.realign(old, live, same);
  }

  /** `same`: so many items at the front are known to be what they were. */
  private realign(old: Tree, live: readonly unknown[], same = 0): Tree {
    const made = align(this, old, live, same);
    const { flat } = old;
    if (made === old || flat === undefined) return made;
    flat.follow(old.items, made.items);
    old.flat = undefined;
    made.flat = flat;
    return made;
  }
}
