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

export class Instances {
  /** False: only the loader knows how. */
  readonly #classes = new Map<string, Class | false>();

  constructor(private readonly load: (text: string) => Promise<unknown>) {}

  make(record: Stored): unknown {
    const { kwargs } = record;
    if (!isRecord(kwargs) || !isJson(kwargs)) return this.load(JSON.stringify(record));
    const name = `${(record.id as unknown[]).join('/')} ${Object.keys(kwargs).join(' ')}`;
    const known = this.#classes.get(name);
    if (known === undefined) return this.#learn(name, record);
    return known === false ? this.load(JSON.stringify(record)) : new known(kwargs);
  }

  async #learn(name: string, record: Stored): Promise<unknown> {
    const text = JSON.stringify(record);
    const made = await this.load(text);
    this.#classes.set(name, sameClass(made, (JSON.parse(text) as Stored).kwargs));
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
  if (Array.isArray(value)) return value.every(isJson);
  if (!isRecord(value)) return false;
  for (const key of Object.keys(value)) {
    if (key === 'lc' || key === '__lc_escaped__' || key === '__proto__' || !isJson(value[key])) return false;
  }
  return true;
}
