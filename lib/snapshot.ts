/** A pinned epoch. It pins what it sees until it is closed, disposed of, or collected. */
import { HoldfastError, typeError } from './errors';
import type { NativeSnapshot } from './native-binding';
import type { Snapshot } from './types';

export class PoolSnapshot implements Snapshot {
  readonly epoch: number;
  readonly #native: NativeSnapshot;
  readonly #pool: object;
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

  close(): void {
    this.#closed = true;
    this.#native.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** The native of a snapshot that came as an option; null where none did. */
  static nativeOf(snapshot: Snapshot | undefined, pool: object): NativeSnapshot | null {
    if (snapshot === undefined) return null;
    if (!(snapshot instanceof PoolSnapshot) || snapshot.#pool !== pool) {
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
