/**
 * LangGraph's values: what is stored in place of instances of its classes, and making those again.
 *
 * Messages and other serializable objects are stored as they serialize themselves (`lc: 1`) and made again by LangChain's own
 * loader. What JSON drops (functions, symbols) is dropped here too, since states carry such things and other savers take them.
 */
import { types } from 'node:util';

import { Comparer, type View } from '../../checkpoint/compare';
import { revive, type Shadow } from '../../checkpoint/index';
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

/** See `View` in lib/checkpoint/compare.ts. */
export const view: View = (live) => {
  const instance = live as Instance;
  if (instance.lg_name === 'DeltaSnapshot') {
    return { value: { lc: 2, type: 'delta_snapshot', value: instance.value }, guarded: false };
  }
  if (instance.lg_name === 'Send') {
    const { node, args, timeout } = instance;
    return { value: timeout === undefined ? { node, args } : { node, args, timeout }, guarded: false };
  }
  if (typeof instance.toJSON !== 'function') return { value: live, guarded: false };
  // A serializable object of LangChain says what it is by its own fields alone; of others that is not known.
  const guarded = typeof instance.lc_serializable === 'boolean' && Array.isArray(instance.lc_namespace);
  return { value: (instance.toJSON as () => unknown).call(live), guarded };
};

export const comparing = { view, lenient: true } as const;

/** The same value without instances, sharing nothing with it. */
export function plain(value: unknown): unknown {
  return revive(new Comparer(comparing).build(value) as Shadow);
}

/** Bytes of a serializer that the user brought. */
class Dumped {
  constructor(
    readonly holdfastType: string,
    readonly bytes: Uint8Array,
  ) {}
}

function isDumped(value: unknown): value is Dumped {
  return typeof value === 'object' && value !== null && 'holdfastType' in value && 'bytes' in value;
}

/** How values go in and come out; with a serializer of the user's, as its bytes. */
export class Values {
  constructor(
    private readonly modules: LangGraphModules,
    private readonly serde: Serializer | undefined,
  ) {}

  /** What is to be stored. Not asynchronous without a serializer: the value must be looked at before it can change. */
  into(value: unknown): unknown {
    return this.serde === undefined ? value : this.#dump(this.serde, value);
  }

  async #dump(serde: Serializer, value: unknown): Promise<Dumped> {
    const [type, bytes] = await serde.dumpsTyped(value);
    return new Dumped(type, typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
  }

  async outOf(stored: unknown): Promise<unknown> {
    if (this.serde !== undefined && isDumped(stored)) return this.serde.loadsTyped(stored.holdfastType, stored.bytes);
    return this.#revive(stored);
  }

  async #revive(value: unknown): Promise<unknown> {
    if (typeof value !== 'object' || value === null || !mayHoldRecords(value, new Set())) return value;
    return this.#walk(value);
  }

  async #walk(value: unknown): Promise<unknown> {
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return Promise.all(value.map((item) => this.#walk(item)));
    if (value instanceof Map) {
      const entries = [...value].map(async ([key, item]) => [await this.#walk(key), await this.#walk(item)] as const);
      return new Map(await Promise.all(entries));
    }
    if (value instanceof Set) return new Set(await Promise.all([...value].map((item) => this.#walk(item))));
    if (Object.getPrototypeOf(value) !== Object.prototype) return value;
    const record = value as { lc?: unknown; type?: unknown; id?: unknown; value?: unknown };
    if (record.lc === 1 && record.type === 'constructor' && Array.isArray(record.id)) {
      return this.modules.load(JSON.stringify(value));
    }
    if (record.lc === 2 && record.type === 'delta_snapshot') {
      return new this.modules.checkpoint.DeltaSnapshot(await this.#walk(record.value));
    }
    for (const [key, item] of Object.entries(value)) {
      (value as Record<string, unknown>)[key] = typeof item === 'object' ? await this.#walk(item) : item;
    }
    return value;
  }
}

/** Is there anything that must be made again? Values with cycles have none: they were not written by LangGraph. */
function mayHoldRecords(value: object, seen: Set<object>): boolean {
  if (seen.has(value) || ArrayBuffer.isView(value) || types.isDate(value)) return false;
  seen.add(value);
  const { lc } = value as { lc?: unknown };
  if (lc === 1 || lc === 2) return true;
  const inside: Iterable<unknown> =
    value instanceof Map ? [...value.keys(), ...value.values()]
    : value instanceof Set ? value
    : Object.values(value);
  for (const item of inside) if (typeof item === 'object' && item !== null && mayHoldRecords(item, seen)) return true;
  return false;
}
