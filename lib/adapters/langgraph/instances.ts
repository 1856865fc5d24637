/**
 * Making instances of LangChain's classes again.
 *
 * LangChain's own loader is asked, which looks at every value of every message with promises. Where
 * it did no more than call the class with what was stored (that is compared once for each class and
 * set of fields), the class is called right away.
 */
import { isDeepStrictEqual } from 'node:util';

import { revive, type Shadow } from '../../checkpoint/index';
import { ARRAY, Blob, OBJECT, TEXT, Tree } from '../../checkpoint/shadow';

export interface Stored {
  readonly lc?: unknown;
  readonly type?: unknown;
  readonly id?: unknown;
  readonly value?: unknown;
  readonly kwargs?: unknown;
}

type Class = new (kwargs: unknown) => object;

/**
 * What is known of classes and sets of fields, found by the parts of a class's name and the fields
 * one by one: no text is made for that.
 */
class Known {
  /** False: only the loader knows how. */
  maker: Class | false | undefined;
  readonly #next = new Map<string | symbol, Known>();

  after(part: string | symbol): Known {
    let next = this.#next.get(part);
    if (next === undefined) this.#next.set(part, (next = new Known()));
    return next;
  }
}

/** Between the parts of a name and the fields: no part is equal to it. */
const fields = Symbol('fields');

export class Instances {
  readonly #known = new Known();
  /**
   * Of what is stored, which never changes: found out once, and the same messages are made again in
   * each invocation.
   */
  readonly #classes = new WeakMap<Tree, Class>();

  constructor(private readonly load: (text: string) => Promise<unknown>) {}

  /**
   * The instance of what is stored, if all it needs is its class, which is known by now. Nothing is
   * made of the record around its fields.
   */
  readonly ofStored = (stored: Tree): object | undefined => {
    const { items } = stored;
    if (items[1] !== 1 || items[0] !== 'lc') return undefined;
    let maker = this.#classes.get(stored);
    if (maker === undefined) {
      maker = this.#classOf(stored);
      if (maker === undefined) return undefined;
      this.#classes.set(stored, maker);
    }
    return new maker(revive(items[7]));
  };

  #classOf({ items }: Tree): Class | undefined {
    const [, , type, constructor, id, parts, kwargs, values] = items;
    if (
      items.length !== 8 ||
      type !== 'type' ||
      constructor !== 'constructor' ||
      id !== 'id' ||
      kwargs !== 'kwargs'
    )
      return undefined;
    if (
      !(parts instanceof Tree) ||
      parts.shape !== ARRAY ||
      !(values instanceof Tree) ||
      values.shape !== OBJECT ||
      !isStoredJson(values)
    )
      return undefined;
    let known = this.#known;
    for (const part of parts.items) {
      if (typeof part !== 'string') return undefined;
      known = known.after(part);
    }
    known = known.after(fields);
    for (let at = 0; at < values.items.length; at += 2)
      known = known.after(values.items[at] as string);
    return known.maker === false ? undefined : known.maker;
  }

  make(record: Stored): unknown {
    const { kwargs } = record;
    if (!isRecord(kwargs) || !isJson(kwargs)) return this.#loaded(record);
    let known = this.#known;
    for (const part of record.id as unknown[]) {
      if (typeof part !== 'string') return this.#loaded(record);
      known = known.after(part);
    }
    known = known.after(fields);
    for (const key in kwargs) known = known.after(key);
    const { maker } = known;
    if (maker === undefined) return this.#learn(known, record);
    return maker === false ? this.#loaded(record) : new maker(kwargs);
  }

  async #loaded(record: Stored): Promise<unknown> {
    const bigints: bigint[] = [];
    const made = await this.load(textOf(record, bigints));
    if (bigints.length > 0) putBack(made, bigints, new Set());
    return made;
  }

  async #learn(known: Known, record: Stored): Promise<unknown> {
    const text = JSON.stringify(record);
    const made = await this.load(text);
    known.maker = sameClass(made, (JSON.parse(text) as Stored).kwargs);
    return made;
  }
}

const escaped = '__lc_escaped__';
const standsForBigint = 'holdfastBigint';

/**
 * For the loader. Where LangChain stored only the name of something (of a cycle, of an object that
 * says it cannot be serialized) the loader would refuse the whole: it is to hand that name back as
 * it is. What JSON has no word for is a number in a list meanwhile.
 */
function textOf(record: Stored, bigints: bigint[]): string {
  return JSON.stringify(record, (key, value: unknown) => {
    if (typeof value === 'bigint') return { [standsForBigint]: bigints.push(value) - 1 };
    return key !== escaped && isOnlyNamed(value) ? { [escaped]: value } : value;
  });
}

function isOnlyNamed(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { lc, type } = value as Stored;
  return lc === 1 && type === 'not_implemented';
}

function putBack(value: unknown, bigints: readonly bigint[], seen: Set<object>): void {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  for (const [key, item] of Object.entries(value as Record<string, unknown>)) {
    const place = (item as Record<string, unknown> | null | undefined)?.[standsForBigint];
    if (typeof place === 'number') (value as Record<string, unknown>)[key] = bigints[place];
    else putBack(item, bigints, seen);
  }
}

/** The class, if calling it makes the same. */
function sameClass(made: unknown, kwargs: unknown): Class | false {
  if (typeof made !== 'object' || made === null) return false;
  const maker = made.constructor as Class;
  try {
    const again = new maker(kwargs);
    return Object.getPrototypeOf(again) === Object.getPrototypeOf(made) &&
      isDeepStrictEqual(again, made)
      ? maker
      : false;
  } catch {
    // A class that takes something else: the loader knows how.
    return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
  );
}

/** Would it be the same as JSON, without anything in it that the loader looks for? */
function isJson(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'object':
      break;
    default:
      return false;
  }
  if (value === null) return true;
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; ++at) if (!isJson(value[at])) return false;
    return true;
  }
  if (!isRecord(value)) return false;
  for (const key in value) if (!isPlainKey(key) || !isJson(value[key])) return false;
  return true;
}

/** The same of what is stored. */
function isStoredJson(shadow: Shadow): boolean {
  if (typeof shadow !== 'object' || shadow === null) return isJson(shadow);
  if (shadow instanceof Blob) return shadow.type === TEXT;
  if (!(shadow instanceof Tree)) return false;
  const { shape, items } = shadow;
  if (shape === ARRAY) return items.every(isStoredJson);
  if (shape !== OBJECT) return false;
  for (let at = 0; at < items.length; at += 2)
    if (!isPlainKey(items[at]) || !isStoredJson(items[at + 1])) return false;
  return true;
}

function isPlainKey(key: unknown): boolean {
  return typeof key === 'string' && key !== 'lc' && key !== escaped && key !== '__proto__';
}
