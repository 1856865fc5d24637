/**
 * Making instances of LangChain's classes again.
 *
 * LangChain's own loader is asked, which looks at every value of every message with promises. Where it did no more than call the
 * class with what was stored (that is compared once for each class and set of fields), the class is called right away.
 */
import { isDeepStrictEqual } from 'node:util';

export interface Stored {
  readonly lc?: unknown;
  readonly type?: unknown;
  readonly id?: unknown;
  readonly value?: unknown;
  readonly kwargs?: unknown;
}

type Class = new (kwargs: unknown) => object;

/** What is known of classes and sets of fields, found by the parts of a class's name and the fields one by one: no text is made for that. */
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

  constructor(private readonly load: (text: string) => Promise<unknown>) {}

  make(record: Stored): unknown {
    const { kwargs } = record;
    if (!isRecord(kwargs) || !isJson(kwargs)) return this.load(JSON.stringify(record));
    let known = this.#known;
    for (const part of record.id as unknown[]) {
      if (typeof part !== 'string') return this.load(JSON.stringify(record));
      known = known.after(part);
    }
    known = known.after(fields);
    for (const key in kwargs) known = known.after(key);
    const { maker } = known;
    if (maker === undefined) return this.#learn(known, record);
    return maker === false ? this.load(JSON.stringify(record)) : new maker(kwargs);
  }

  async #learn(known: Known, record: Stored): Promise<unknown> {
    const text = JSON.stringify(record);
    const made = await this.load(text);
    known.maker = sameClass(made, (JSON.parse(text) as Stored).kwargs);
    return made;
  }
}

/** The class, if calling it makes the same. */
function sameClass(made: unknown, kwargs: unknown): Class | false {
  if (typeof made !== 'object' || made === null) return false;
  const maker = made.constructor as Class;
  try {
    const again = new maker(kwargs);
    return Object.getPrototypeOf(again) === Object.getPrototypeOf(made) && isDeepStrictEqual(again, made) ? maker : false;
  } catch {
    // A class that takes something else: the loader knows how.
    return false;
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
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
  for (const key in value) {
    if (key === 'lc' || key === '__lc_escaped__' || key === '__proto__' || !isJson(value[key])) return false;
  }
  return true;
}
