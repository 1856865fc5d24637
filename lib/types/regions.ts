/** Regions: named ranges of bytes that commits change in place. */
import type { CommitOptions, CommitReceipt } from './commits';
import type { Snapshot } from './keyspaces';

/** The element types a region can be read as. All numbers in a region are little-endian. */
export type NumericArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

export interface NumericArrayConstructor<T extends NumericArray> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): T;
}

/**
 * A named range of bytes that commits change in place. Offsets and lengths are bytes, but for
 * `typed`.
 */
export interface Region {
  readonly name: string;
  /** Bytes it has now. */
  readonly size: number;
  /** A copy of its bytes; by default all of them. */
  read(offset?: number, length?: number, options?: { snapshot?: Snapshot | undefined }): Uint8Array;
  /** Fills `target`. */
  readInto(
    target: ArrayBufferView,
    offset: number,
    options?: { snapshot?: Snapshot | undefined },
  ): void;
  /**
   * A copy of `length` numbers from byte `offset` on, which need not be aligned:
   * `typed(Float32Array, 4096, 768)`.
   */
  typed<T extends NumericArray>(
    type: NumericArrayConstructor<T>,
    offset: number,
    length: number,
    options?: { snapshot?: Snapshot | undefined },
  ): T;
  dataView(offset: number, length: number, options?: { snapshot?: Snapshot | undefined }): DataView;
  /**
   * The first offset from `offset` on (default 0) that may hold anything but zeros; `size` when
   * none does. What lies before it was never written: a sparse region is copied by what is in it.
   */
  nextData(offset?: number, options?: { snapshot?: Snapshot | undefined }): number;
  /**
   * Its bytes as they lie in the pool, by default all of them, as of now or of the snapshot: not
   * copied and not verified. Through a pool that is open for reading only they are a copy.
   */
  view(offset?: number, length?: number, options?: { snapshot?: Snapshot | undefined }): RegionView;
  write(offset: number, bytes: ArrayBufferView, options?: CommitOptions): Promise<CommitReceipt>;
  writeSync(offset: number, bytes: ArrayBufferView, options?: CommitOptions): CommitReceipt;
  /**
   * Adds to the 64-bit cell at `offset` (a multiple of 8), modulo 2^64. Gives the sum, as an
   * unsigned number.
   */
  add(offset: number, delta: bigint, options?: CommitOptions): Promise<bigint>;
  addSync(offset: number, delta: bigint, options?: CommitOptions): bigint;
  /** Sets the 64-bit cell to `desired` if it is `expected`; tells whether it was. */
  compareAndSwap(
    offset: number,
    expected: bigint,
    desired: bigint,
    options?: CommitOptions,
  ): Promise<boolean>;
  compareAndSwapSync(
    offset: number,
    expected: bigint,
    desired: bigint,
    options?: CommitOptions,
  ): boolean;
  /** What it grows by reads as zeros; what a smaller size takes away is gone. */
  resize(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  resizeSync(size: number, options?: CommitOptions): CommitReceipt;
  /** As resize, to a size that is larger, or smaller: the other way is a RangeError. */
  grow(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  shrink(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  /** Removes it, with its name; its space comes back with the next fold. */
  drop(options?: CommitOptions): Promise<CommitReceipt>;
  dropSync(options?: CommitOptions): CommitReceipt;
}

/** A lease on bytes of a region. While it lasts they do not change, whatever is committed. */
export interface RegionView extends Disposable {
  /** Of length 0 once the lease or the pool has ended. Stores into it reach nobody else. */
  readonly bytes: Uint8Array;
  /**
   * False where the place has no private mappings (device DAX), too many are in use, or the pool is
   * open for reading only: the bytes were copied.
   */
  readonly mapped: boolean;
  end(): void;
}

export interface RegionInfo {
  readonly name: string;
  readonly size: number;
  /** Bytes of the pool that it takes, as of the newest fold. */
  readonly placedBytes: number;
}
