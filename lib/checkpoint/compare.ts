/**
 * Finds what changed: takes the shadow of the last save and the value as it is now, and gives the shadow of now, which
 * shares every node that did not change. Nothing is encoded here.
 */
import { types } from 'node:util';

import { structured } from '../codecs';
import { HoldfastError } from '../errors';
import { isDense, isOpaque, opaqueError } from '../plain-data';
import { align } from './align';
import { bytesOf, bytesType, sameBytes } from './bytes';
import { blobOf, sameAsBlob } from './pieces';
import {
  ARRAY,
  Back,
  Blob,
  blobLength,
  cut,
  hasRoom,
  Leaf,
  MAP,
  Moment,
  OBJECT,
  Opaque,
  overgrown,
  SET,
  type Shadow,
  STRUCTURED,
  strides,
  TEXT,
  Tree,
} from './shadow';

/**
 * Gives the stand-in that is stored for an instance of a class, or the instance itself. `guarded`: the stand-in depends on
 * nothing but the instance's own fields, so it need not be made again while those are the same.
 */
export type View = (live: object) => { readonly value: unknown; readonly guarded: boolean };

export interface CompareOptions {
  /** Objects are never changed in place: the same object is the same value. */
  readonly immutable?: boolean;
  readonly view?: View;
  /** Functions and symbols become undefined instead of being refused. */
  readonly lenient?: boolean;
}

/** Thrown for a value that reaches the same objects so often that walking all ways to them would not end soon, or that is too deep. */
export class Tangled extends Error {}

const OTHER = -1;
const longList = 64;
/** Deeper values are kept whole: what is walked into here must be walked into when it is read, by whoever reads it. */
const deepest = 400;
/** So far away, items are looked for that are no longer where they were. */
const lookAround = 64;
const noItems: readonly Shadow[] = [];

export class Comparer {
  private readonly lenient: boolean;
  private readonly immutable: boolean;
  private readonly view: View | undefined;
  private guards: Comparer | undefined;
  /** The containers around the one that is looked at. */
  private readonly path: object[] = [];
  private visits = 0;
  private distinct: Set<object> | undefined;

  constructor({ immutable = false, view, lenient = false }: CompareOptions = {}) {
    this.lenient = lenient;
    this.immutable = immutable;
    this.view = view;
  }

  update(old: Shadow, live: unknown): Shadow {
    if (typeof old !== 'object' || old === null) return Object.is(old, live) ? old : this.build(live);
    if (typeof live !== 'object' || live === null) {
      if (typeof live === 'string' && old instanceof Blob && old.type === TEXT) return this.text(old, live);
      return this.build(live);
    }
    if (old instanceof Tree) {
      if (this.immutable && old.live === live) return old;
      if (old.guard !== undefined && this.guardHolds(old.guard, live)) return old;
      if (old.shape === OBJECT && isPlain(live)) return this.updatePlain(old, live);
      if (old.shape === ARRAY && Array.isArray(live)) return this.updateTree(old, live, this.listShape(live));
      const shape = this.shapeOf(live);
      if (shape !== OTHER) return this.updateContainer(old, live, shape);
    } else if (old instanceof Blob && old.type > STRUCTURED && bytesType(live) === old.type) return blobOf(old.type, bytesOf(live), old);
    return this.same(old, live) ? old : this.build(live);
  }

  /** Is `live` what `old` is a shadow of? */
  same(old: Shadow, live: unknown): boolean {
    if (typeof old !== 'object' || old === null) return Object.is(old, live);
    if (typeof live !== 'object' || live === null) return typeof live === 'string' && old instanceof Blob && old.type === TEXT && old.text === live;
    if (old instanceof Tree) return this.sameTree(old, live);
    switch (old.kind) {
      case 'back':
        return this.path.length >= old.up && this.path[this.path.length - old.up] === live;
      case 'moment':
        return types.isDate(live) && Object.is(live.getTime(), old.ms);
      case 'blob':
        if (old.type === TEXT) return false;
        if (old.type === STRUCTURED) return sameAsBlob(old, encodeOther(live));
        return bytesType(live) === old.type && sameAsBlob(old, bytesOf(live));
      case 'opaque':
        if (old.type !== STRUCTURED) return bytesType(live) === old.type && sameBytes(old.bytes, bytesOf(live));
        return this.shapeOf(live) === OTHER && bytesType(live) === 0 && !types.isDate(live) && sameBytes(old.bytes, encodeOther(live));
    }
  }

  build(live: unknown): Shadow {
    switch (typeof live) {
      case 'string':
        return live.length < blobLength ? live : blobOf(TEXT, live, undefined);
      case 'function':
      case 'symbol':
        if (this.lenient) return undefined;
        throw new HoldfastError('ERR_HOLDFAST_CODEC', `The value cannot be stored: there is a ${typeof live} in it`);
      case 'object':
        return live === null ? null : this.buildObject(live);
      default:
        return live as Shadow;
    }
  }

  private shapeOf(live: object): number {
    const shape = shapeOf(live);
    if (this.lenient) return shape;
    // What has holes, or properties beside its elements, is kept whole.
    if (shape === ARRAY) return isDense(live as unknown[]) ? ARRAY : OTHER;
    if (isInstance(live, shape) && isOpaque(live)) throw opaqueError(live);
    return shape;
  }

  /** Of a list that was one before. In a long one properties beside its elements are not looked for again: that costs as much as comparing it. */
  private listShape(live: unknown[]): number {
    return live.length <= longList ? this.shapeOf(live) : ARRAY;
  }

  private text(old: Blob, live: string): Shadow {
    if (old.text === live) return old;
    return live.length < blobLength ? live : blobOf(TEXT, live, old);
  }

  private buildObject(live: object): Shadow {
    const above = this.path.lastIndexOf(live);
    if (above >= 0) return new Back(this.path.length - above);
    const shape = this.shapeOf(live);
    if (shape === OTHER) return buildOther(live);
    if (this.view !== undefined && isInstance(live, shape)) return this.standIn(undefined, live);
    this.count(live);
    const items = flatten(live, shape);
    if (this.path.push(live) > deepest) throw new Tangled();
    for (let at = 0; at < items.length; ++at) items[at] = this.build(items[at]);
    this.path.pop();
    return this.remember(new Tree(shape, cut(items as Shadow[], strides[shape]!)), live);
  }

  private remember(tree: Tree, live: object): Tree {
    if (this.immutable) tree.live = live;
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
      return old === undefined ? this.fields(live) : this.updateTree(old, live, OBJECT);
    }
    const shadow = old === undefined ? this.build(value) : this.update(old, value);
    if (guarded && typeof shadow === 'object' && shadow?.kind === 'tree') {
      this.guards ??= new Comparer({ lenient: true });
      shadow.guard = { prototype: Object.getPrototypeOf(live), fields: this.guards.fields(live) };
    }
    return shadow;
  }

  private guardHolds(guard: NonNullable<Tree['guard']>, live: object): boolean {
    if (Object.getPrototypeOf(live) !== guard.prototype) return false;
    this.guards ??= new Comparer({ lenient: true });
    return this.guards.sameFields(guard.fields, live, false);
  }

  private fields(live: object): Tree {
    this.count(live);
    const items = flatten(live, OBJECT);
    if (this.path.push(live) > deepest) throw new Tangled();
    for (let at = 0; at < items.length; ++at) items[at] = this.build(items[at]);
    this.path.pop();
    return this.remember(new Tree(OBJECT, cut(items as Shadow[], 2)), live);
  }

  private updateContainer(old: Tree, live: object, shape: number): Shadow {
    if (this.view !== undefined && isInstance(live, shape)) return this.standIn(old, live);
    if (shape !== old.shape) return this.build(live);
    return this.updateTree(old, live, shape);
  }

  /** The commonest case, made short. */
  private updatePlain(old: Tree, live: object): Tree {
    this.path.push(live);
    const tree = this.updateRecord(old, live as Record<string, unknown>, true);
    this.path.pop();
    if (this.immutable) tree.live = live;
    return tree;
  }

  private updateTree(old: Tree, live: object, shape: number): Shadow {
    if (shape !== old.shape) return this.build(live);
    this.path.push(live);
    const tree =
      shape === ARRAY ? this.updateArray(old, live as unknown[])
      : shape === OBJECT ? this.updateRecord(old, live as Record<string, unknown>, isPlain(live))
      : this.realign(old, flatten(live, shape));
    this.path.pop();
    return tree instanceof Tree ? this.remember(tree, live) : tree;
  }

  // In place and at the end first, since that is what states mostly do; anything else is aligned.
  private updateArray(old: Tree, live: unknown[]): Shadow {
    const { leaves } = old;
    let editor: Editor | undefined;
    let at = 0;
    let changed = 0;
    let lookAt = 9;
    /** So many items at the front are what they were. */
    let same = 0;
    for (let l = 0; l < leaves.length; ++l) {
      const { items } = leaves[l]!;
      for (let i = 0; i < items.length; ++i, ++at) {
        if (at >= live.length) return this.realign(old, live, editor === undefined ? at : same);
        const before = items[i];
        const now = live[at];
        if (now === undefined && !(at in live) && !this.lenient) return this.build(live);
        // Most of what is looked at is the very text, number or flag it was.
        if (before === now && now !== 0) continue;
        const after = this.update(before, now);
        if (Object.is(after, before)) {
          changed = 0;
          continue;
        }
        if (editor === undefined) same = at;
        if (this.isShifted(old, l, i, live, at)) return this.realign(old, live, same);
        // So many in a row: changed where they are, or moved further than by one?
        if (++changed === lookAt) {
          if (this.isMoved(before, live, at)) return this.realign(old, live, same);
          lookAt *= 8;
        }
        (editor ??= new Editor(old)).set(l, i, after);
      }
    }
    for (; at < live.length; ++at) {
      if (live[at] === undefined && !(at in live) && !this.lenient) return this.build(live);
      (editor ??= new Editor(old)).append(this.build(live[at]));
    }
    return editor === undefined ? old : editor.finish();
  }

  /** Is the list from here on what it was one item before or behind? */
  private isShifted(old: Tree, l: number, i: number, live: readonly unknown[], at: number): boolean {
    const { items } = old.leaves[l]!;
    const next = i + 1 < items.length ? items[i + 1] : old.leaves[l + 1]?.items[0];
    if (next !== undefined && this.same(next, live[at])) return true;
    return at + 1 < live.length && live[at + 1] !== undefined && this.same(items[i], live[at + 1]);
  }

  private isMoved(item: Shadow, live: readonly unknown[], at: number): boolean {
    const end = Math.min(live.length, at + lookAround);
    for (let place = Math.max(0, at - lookAround); place < end; ++place) if (this.same(item, live[place])) return true;
    return false;
  }

  private updateRecord(old: Tree, live: Record<string, unknown>, plain: boolean): Tree {
    const { leaves } = old;
    if (leaves.length > 1) return this.updateLargeRecord(old, live, plain);
    const { items } = leaves[0]!;
    const { length } = items;
    let editor: Editor | undefined;
    let i = 0;
    for (const key in live) {
      if (items[i] !== key) {
        if (!plain && !Object.hasOwn(live, key)) continue;
        if (i < length) return this.realign(old, flatten(live, OBJECT));
        (editor ??= new Editor(old)).append(this.build(key), this.build(live[key]));
        continue;
      }
      const before = items[i + 1];
      const now = live[key];
      // Most of what is looked at is the very text, number or flag it was.
      if (before !== now || now === 0) {
        const after = this.update(before, now);
        if (!Object.is(before, after)) (editor ??= new Editor(old)).set(0, i + 1, after);
      }
      i += 2;
    }
    // What is inherited comes last: if the last of them is its own, all are.
    const owned = plain || length === 0 || Object.hasOwn(live, items[length - 2] as string);
    if (i < length || !owned) return this.realign(old, flatten(live, OBJECT));
    return editor === undefined ? old : editor.finish();
  }

  private updateLargeRecord(old: Tree, live: Record<string, unknown>, plain: boolean): Tree {
    const { leaves } = old;
    let editor: Editor | undefined;
    let l = 0;
    let i = 0;
    let items = leaves[0]!.items;
    for (const key in live) {
      if (!plain && !Object.hasOwn(live, key)) continue;
      if (l === leaves.length) {
        (editor ??= new Editor(old)).append(this.build(key), this.build(live[key]));
        continue;
      }
      if (items[i] !== key) return this.realign(old, flatten(live, OBJECT));
      const before = items[i + 1];
      const now = live[key];
      if (before !== now || now === 0) {
        const after = this.update(before, now);
        if (!Object.is(before, after)) (editor ??= new Editor(old)).set(l, i + 1, after);
      }
      if ((i += 2) === items.length) {
        i = 0;
        items = ++l < leaves.length ? leaves[l]!.items : noItems;
      }
    }
    if (l < leaves.length) return this.realign(old, flatten(live, OBJECT));
    return editor === undefined ? old : editor.finish();
  }

  /** `same`: so many items at the front are known to be what they were. */
  private realign(old: Tree, live: readonly unknown[], same = 0): Tree {
    return align(this, old, live, same);
  }

  private sameTree(old: Tree, live: object): boolean {
    if (this.immutable && old.live === live) return true;
    if (old.shape === OBJECT && isPlain(live)) return this.sameFields(old, live, true);
    const shape = this.shapeOf(live);
    if (shape === OTHER) return false;
    if (this.view !== undefined && isInstance(live, shape)) {
      if (old.guard !== undefined) return this.guardHolds(old.guard, live);
      const { value } = this.view(live);
      if (value !== live) return this.same(old, value);
    }
    if (shape !== old.shape) return false;
    this.path.push(live);
    const same =
      shape === OBJECT ? this.sameRecord(old, live as Record<string, unknown>, false)
      : this.sameItems(old, shape === ARRAY ? (live as unknown[]) : flatten(live, shape));
    this.path.pop();
    return same;
  }

  /** Are these the fields of a plain object, or of an instance whose class is the same? */
  private sameFields(old: Tree, live: object, plain: boolean): boolean {
    this.path.push(live);
    const same = this.sameRecord(old, live as Record<string, unknown>, plain);
    this.path.pop();
    return same;
  }

  private sameRecord({ leaves }: Tree, live: Record<string, unknown>, plain: boolean): boolean {
    let l = 0;
    let i = 0;
    let items = leaves[0]!.items;
    let last = '';
    for (const key in live) {
      if (i === items.length) {
        if (l + 1 === leaves.length) {
          // What an instance inherits comes last, and is no field of it.
          if (Object.hasOwn(live, key)) return false;
          break;
        }
        items = leaves[++l]!.items;
        i = 0;
      }
      if (items[i] !== key && !this.same(items[i], key)) return false;
      const before = items[i + 1];
      const now = live[key];
      if ((before !== now || now === 0) && !this.same(before, now)) return false;
      last = key;
      i += 2;
    }
    if (l < leaves.length - 1 || i < items.length) return false;
    return plain || i === 0 || Object.hasOwn(live, last);
  }

  private sameItems(old: Tree, live: readonly unknown[]): boolean {
    let at = 0;
    for (const { items } of old.leaves) {
      if (at + items.length > live.length) return false;
      for (const item of items) if (!this.same(item, live[at++])) return false;
    }
    return at === live.length;
  }
}

/** Changes to a tree that keeps its leaves where nothing changed. */
class Editor {
  readonly #old: Tree;
  #changed: Map<number, Shadow[]> | undefined;
  #more: Shadow[] | undefined;

  constructor(old: Tree) {
    this.#old = old;
  }

  set(leaf: number, at: number, item: Shadow): void {
    this.#changed ??= new Map();
    let items = this.#changed.get(leaf);
    if (items === undefined) this.#changed.set(leaf, (items = this.#old.leaves[leaf]!.items.slice()));
    items[at] = item;
  }

  append(...items: Shadow[]): void {
    (this.#more ??= []).push(...items);
  }

  finish(): Tree {
    const old = this.#old;
    if (this.#changed === undefined && this.#more === undefined) return old;
    const stride = strides[old.shape]!;
    const leaves: Leaf[] = [];
    for (let l = 0; l < old.leaves.length; ++l) {
      const items = this.#changed?.get(l);
      const leaf = items === undefined ? old.leaves[l]! : new Leaf(items);
      if (items !== undefined && overgrown(leaf, stride)) leaves.push(...cut(items, stride));
      else leaves.push(leaf);
    }
    if (this.#more !== undefined) {
      const last = leaves.at(-1)!;
      if (hasRoom(last, this.#more[0])) {
        leaves.pop();
        leaves.push(...cut([...last.items, ...this.#more], stride));
      } else leaves.push(...cut(this.#more, stride));
    }
    return new Tree(old.shape, leaves, old);
  }
}

function isPlain(live: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(live);
  return prototype === Object.prototype || prototype === null;
}

function isInstance(live: object, shape: number): boolean {
  return shape === OBJECT && !isPlain(live);
}

const recordClasses = new WeakMap<object, boolean>();
const builtIns: ReadonlySet<unknown> = new Set([Date, RegExp, Error, Number, String, Boolean, Array].map(({ prototype }) => prototype));

/** Are instances with this prototype made by classes of the user's alone? Then there is nothing to them but their fields. */
function isRecordClass(prototype: object): boolean {
  let known = recordClasses.get(prototype);
  if (known === undefined) {
    known = true;
    for (let at: object | null = prototype; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
      if (builtIns.has(at) || Symbol.toStringTag in at) known = false;
    }
    recordClasses.set(prototype, known);
  }
  return known;
}

/** What kind of container it is; OTHER for what is not walked into. */
function shapeOf(live: object): number {
  if (isPlain(live)) return OBJECT;
  if (Array.isArray(live)) return ARRAY;
  if (isRecordClass(Object.getPrototypeOf(live) as object)) return OBJECT;
  if (types.isMap(live)) return MAP;
  if (types.isSet(live)) return SET;
  if (ArrayBuffer.isView(live) || types.isAnyArrayBuffer(live) || types.isDate(live)) return OTHER;
  if (types.isRegExp(live) || types.isNativeError(live) || types.isBoxedPrimitive(live)) return OTHER;
  if (types.isPromise(live) || types.isWeakMap(live) || types.isWeakSet(live)) return OTHER;
  return OBJECT;
}

function flatten(live: object, shape: number): unknown[] {
  if (shape === ARRAY) return Array.from(live as unknown[]);
  if (shape === SET) return [...(live as Set<unknown>)];
  const items: unknown[] = [];
  if (shape === MAP) for (const [key, value] of live as Map<unknown, unknown>) items.push(key, value);
  else for (const key of Object.keys(live)) items.push(key, (live as Record<string, unknown>)[key]);
  return items;
}

function buildOther(live: object): Shadow {
  if (types.isDate(live)) return new Moment(live.getTime());
  const type = bytesType(live);
  if (type === 0) return new Opaque(STRUCTURED, encodeOther(live));
  const bytes = bytesOf(live);
  return bytes.length < blobLength ? new Opaque(type, bytes.slice()) : blobOf(type, bytes, undefined);
}

function encodeOther(live: object): Uint8Array {
  if (types.isPromise(live) || types.isWeakMap(live) || types.isWeakSet(live)) {
    throw new HoldfastError('ERR_HOLDFAST_CODEC', `The value cannot be stored: there is a ${live.constructor.name} in it`);
  }
  return new Uint8Array(structured.encode(live) as Uint8Array);
}

/** The whole value as one blob, for what is too tangled to be cut along its objects. */
export function buildWhole(old: Shadow, live: unknown): Blob {
  const before = typeof old === 'object' && old?.kind === 'blob' && old.type === STRUCTURED ? old : undefined;
  return blobOf(STRUCTURED, new Uint8Array(structured.encode(live) as Uint8Array), before);
}
