/**
 * LangGraph's values: what is stored in place of instances of its classes, and making those again.
 *
 * Messages and other serializable objects are stored as they serialize themselves (`lc: 1`) and
 * made again by LangChain's own loader. What JSON drops (functions, symbols) is dropped here too,
 * since states carry such things and other savers take them.
 */
import { compare, type Making, revive } from '../../checkpoint/index';
import type { View } from '../../checkpoint/same';
import { HoldfastError } from '../../errors';
import { Instances, type Stored } from './instances';
import type { LangGraphModules, Serializer } from './types';

interface Instance {
  readonly lg_name?: unknown;
  readonly lc_serializable?: unknown;
  readonly lc_namespace?: unknown;
  readonly value?: unknown;
  readonly node?: unknown;
  readonly args?: unknown;
  readonly timeout?: unknown;
  readonly toJSON?: unknown;
}

/** See `View` in lib/checkpoint/same.ts. */
export const view: View = (live) => {
  const instance = live as Instance;
  if (instance.lg_name === 'DeltaSnapshot') {
    return { value: { lc: 2, type: 'delta_snapshot', value: instance.value }, guarded: false };
  }
  if (instance.lg_name === 'Send') {
    const { node, args, timeout } = instance;
    return {
      value: timeout === undefined ? { node, args } : { node, args, timeout },
      guarded: false,
    };
  }
  if (typeof instance.toJSON !== 'function') return { value: live, guarded: false };
  // A serializable object of LangChain says what it is by its own fields alone; of others that is
  // not known.
  const guarded =
    typeof instance.lc_serializable === 'boolean' && Array.isArray(instance.lc_namespace);
  return { value: (instance.toJSON as () => unknown).call(live), guarded };
};

export const comparing = { view, lenient: true } as const;

/** The same value without instances, sharing nothing with it. */
export function plain(value: unknown): unknown {
  return revive(compare(undefined, false, value, comparing));
}

/** Bytes of a serializer that the user brought. */
class Dumped {
  constructor(
    readonly holdfastType: string,
    readonly bytes: Uint8Array,
  ) {}
}

function isDumped(value: unknown): value is Dumped {
  if (typeof value !== 'object' || value === null) return false;
  const { holdfastType, bytes } = value as Partial<Dumped>;
  return typeof holdfastType === 'string' && bytes instanceof Uint8Array;
}

/** How values go in and come out; with a serializer of the user's, as its bytes. */
export class Values {
  readonly #messages: Instances;

  constructor(
    private readonly modules: LangGraphModules,
    private readonly serde: Serializer | undefined,
  ) {
    this.#messages = new Instances(modules.load);
  }

  /**
   * Makes instances while what is stored is read, where that needs no loader; `outOf` makes the
   * others.
   */
  get making(): Making {
    return this.#messages.ofStored;
  }

  /**
   * What is to be stored. Not asynchronous without a serializer: the value must be looked at before
   * it can change.
   */
  into(value: unknown): unknown {
    return this.serde === undefined ? value : this.#dump(this.serde, value);
  }

  async #dump(serde: Serializer, value: unknown): Promise<Dumped> {
    const [type, bytes] = await serde.dumpsTyped(value);
    return new Dumped(type, typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  }

  async outOf(stored: unknown): Promise<unknown> {
    if (!isDumped(stored)) return this.#revive(stored);
    if (this.serde !== undefined) return this.serde.loadsTyped(stored.holdfastType, stored.bytes);
    throw new HoldfastError(
      'ERR_HOLDFAST_CODEC',
      `This was saved by a HoldfastSaver with a serializer (as ${JSON.stringify(stored.holdfastType)}): give this one the same`,
    );
  }

  async #revive(value: unknown): Promise<unknown> {
    if (typeof value !== 'object' || value === null || !mayHoldRecords(value, new Set()))
      return value;
    const made = { value };
    const pending: Promise<void>[] = [];
    this.#make(value, (now) => (made.value = now as object), pending, new Set());
    if (pending.length > 0) await Promise.all(pending);
    return made.value;
  }

  /**
   * Puts what `value` stands for where it belongs: at once where that can be, else when what is
   * pushed to `pending` is done.
   */
  #make(
    value: object,
    put: (made: unknown) => void,
    pending: Promise<void>[],
    seen: Set<object>,
  ): void {
    if (isConstructor(value)) return this.#makeInstance(value, put, pending);
    if (seen.has(value)) return;
    seen.add(value);
    if (Array.isArray(value)) {
      for (let at = 0; at < value.length; ++at) {
        const item: unknown = value[at];
        if (typeof item === 'object' && item !== null)
          this.#make(item, (made) => (value[at] = made), pending, seen);
      }
    } else if (value instanceof Map || value instanceof Set)
      pending.push(this.#walk(value).then(put));
    else if (Object.getPrototypeOf(value) === Object.prototype)
      this.#makeRecord(value as Stored, put, pending, seen);
  }

  #makeInstance(record: Stored, put: (made: unknown) => void, pending: Promise<void>[]): void {
    const made = this.#messages.make(record);
    if (made instanceof Promise) pending.push(made.then(put));
    else put(made);
  }

  #makeRecord(
    record: Stored,
    put: (made: unknown) => void,
    pending: Promise<void>[],
    seen: Set<object>,
  ): void {
    if (record.lc === 2 && record.type === 'delta_snapshot')
      pending.push(this.#walk(record).then(put));
    else {
      for (const [key, item] of Object.entries(record)) {
        if (typeof item !== 'object' || item === null) continue;
        this.#make(
          item,
          (made) => ((record as Record<string, unknown>)[key] = made),
          pending,
          seen,
        );
      }
    }
  }

  async #walk(value: unknown): Promise<unknown> {
    if (value instanceof Map) {
      const entries = [...value].map(
        async ([key, item]) => [await this.#revive(key), await this.#revive(item)] as const,
      );
      return new Map(await Promise.all(entries));
    }
    if (value instanceof Set)
      return new Set(await Promise.all([...value].map((item) => this.#revive(item))));
    return new this.modules.checkpoint.DeltaSnapshot(await this.#revive((value as Stored).value));
  }
}

/** What an instance of LangChain was stored as. */
function isConstructor(value: object): value is Stored {
  const { lc, type, id } = value as Stored;
  return (
    lc === 1 &&
    type === 'constructor' &&
    Array.isArray(id) &&
    Object.getPrototypeOf(value) === Object.prototype
  );
}

/**
 * Is there anything that must be made again? Values with cycles have none: they were not written by
 * LangGraph.
 */
function mayHoldRecords(value: object, seen: Set<object>): boolean {
  const isMap = value instanceof Map;
  const isSet = value instanceof Set;
  // Anything else is no container, or an instance that is made already.
  if (
    !isMap &&
    !isSet &&
    !Array.isArray(value) &&
    Object.getPrototypeOf(value) !== Object.prototype
  )
    return false;
  if (seen.has(value)) return false;
  seen.add(value);
  const { lc } = value as { lc?: unknown };
  if (lc === 1 || lc === 2) return true;
  const inside: Iterable<unknown> = isMap
    ? [...value.keys(), ...value.values()]
    : isSet
      ? value
      : Object.values(value);
  for (const item of inside)
    if (typeof item === 'object' && item !== null && mayHoldRecords(item, seen)) return true;
  return false;
}
