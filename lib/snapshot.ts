/** A pinned epoch. It pins what it sees until it is closed, disposed of, or collected. */
import { HoldfastError, typeError } from './errors';
import type { NativeSnapshot, NativeView } from './native-binding';
import type { Keyspace, Snapshot } from './types';

/** What a keyspace of the same pool can do for a snapshot. */
export interface Viewable {
  nativeView(key: unknown, snapshot: NativeSnapshot, pool: object): NativeView | undefined;
}

export class PoolSnapshot implements Snapshot {
  readonly epoch: number;
  readonly #native: NativeSnapshot;
  readonly #pool: object;
  readonly #views: NativeView[] = [];
  #closed = false;

  /** `pool` is what made it: reads of another pool refuse it. */
  constructor(native: NativeSnapshot, pool: { readonly closed: boolean }) {
    this.#native = native;
    this.#pool = pool;
    this.epoch = native.epoch;
  }

  get closed(): boolean {
    return this.#closed || (this.#pool as { closed: boolean }).closed;
  }

  view<K, V>(keyspace: Keyspace<K, V>, key: K): Uint8Array | undefined {
    const target = keyspace as unknown as Partial<Viewable> | null | undefined;
    if (typeof target?.nativeView !== 'function') {
      throw typeError("The keyspace must be one of this pool's; make it with pool.keyspace(name)");
    }
    const native = PoolSnapshot.nativeOf(this, this.#pool)!;
    const view = target.nativeView(key, native, this.#pool);
    if (view === undefined) return undefined;
    this.#views.push(view);
    return view.bytes;
  }

  close(): void {
    this.#closed = true;
    for (const view of this.#views.splice(0)) view.end();
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The native of a snapshot that came as an option; null where none did. */
  static nativeOf(snapshot: Snapshot | undefined, pool: object): NativeSnapshot | null {
    if (snapshot === undefined) return null;
    if (!(snapshot instanceof PoolSnapshot) || !(#pool in snapshot) || snapshot.#pool !== pool) {
      throw typeError("snapshot must be one of this pool's; make it with pool.snapshot()");
    }
    if (snapshot.#closed) {
      throw new HoldfastError(
        'ERR_HOLDFAST_SNAPSHOT_CLOSED',
        'The snapshot has been closed; make a new one with pool.snapshot()',
      );
    }
    return snapshot.#native;
  }
}
