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

/** The constructor of such an array: `Float32Array`. */
export interface NumericArrayConstructor<T extends NumericArray> {
  readonly BYTES_PER_ELEMENT: number;
  new (length: number): T;
}

/**
 * A named range of bytes that commits change in place.
 *
 * Offsets and lengths are bytes, except the length of `typed`. What is not all inside the region is
 * `ERR_HOLDFAST_OUT_OF_RANGE`. Reads are synchronous and verified: damage is
 * `ERR_HOLDFAST_CORRUPT`. Each write is a commit, as of a keyspace. A region that was dropped is
 * `ERR_HOLDFAST_NOT_FOUND`.
 */
export interface Region {
  readonly name: string;
  /** Its size now, in bytes. */
  readonly size: number;
  /** A copy of its bytes, by default all of them. */
  read(offset?: number, length?: number, options?: { snapshot?: Snapshot | undefined }): Uint8Array;
  /** Reads into memory of yours: fills `target` with the bytes from `offset` on. */
  readInto(
    target: ArrayBufferView,
    offset: number,
    options?: { snapshot?: Snapshot | undefined },
  ): void;
  /**
   * A copy of `length` numbers from byte `offset` on, aligned or not: `typed(Float32Array, 4096,
   * 768)` reads 3,072 bytes.
   */
  typed<T extends NumericArray>(
    type: NumericArrayConstructor<T>,
    offset: number,
    length: number,
    options?: { snapshot?: Snapshot | undefined },
  ): T;
  /** A copy of `length` bytes, as a DataView. */
  dataView(offset: number, length: number, options?: { snapshot?: Snapshot | undefined }): DataView;
  /**
   * The first offset, from `offset` on (default 0), that may hold anything but zeros; `size` if
   * none does. With it a sparse region is copied without its empty parts.
   */
  nextData(offset?: number, options?: { snapshot?: Snapshot | undefined }): number;
  /**
   * Its bytes as they lie in the pool, by default all of them, as of now or of the snapshot:
   * neither copied nor verified. Through a pool opened with `readOnly` they are a copy. End it
   * soon.
   */
  view(offset?: number, length?: number, options?: { snapshot?: Snapshot | undefined }): RegionView;
  /** Commits `bytes` at `offset`. Any typed array: `write(0, new Float32Array([1, 2]))`. */
  write(offset: number, bytes: ArrayBufferView, options?: CommitOptions): Promise<CommitReceipt>;
  /** As `write`, on this thread. */
  writeSync(offset: number, bytes: ArrayBufferView, options?: CommitOptions): CommitReceipt;
  /**
   * Adds to the 64-bit cell at `offset` (a multiple of 8), modulo 2^64, atomically between all
   * threads. Returns the sum, unsigned.
   */
  add(offset: number, delta: bigint, options?: CommitOptions): Promise<bigint>;
  /** As `add`, on this thread. */
  addSync(offset: number, delta: bigint, options?: CommitOptions): bigint;
  /** Sets the 64-bit cell to `desired` if it is `expected`; true if it was. */
  compareAndSwap(
    offset: number,
    expected: bigint,
    desired: bigint,
    options?: CommitOptions,
  ): Promise<boolean>;
  /** As `compareAndSwap`, on this thread. */
  compareAndSwapSync(
    offset: number,
    expected: bigint,
    desired: bigint,
    options?: CommitOptions,
  ): boolean;
  /** Another size in bytes. New bytes read as zeros; bytes that are cut off are gone. */
  resize(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  /** As `resize`, on this thread. */
  resizeSync(size: number, options?: CommitOptions): CommitReceipt;
  /** As `resize`; a smaller size is a RangeError. */
  grow(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  /** As `resize`; a larger size is a RangeError. */
  shrink(size: number, options?: CommitOptions): Promise<CommitReceipt>;
  /** Removes the region and its name. Its space comes back with the next fold. */
  drop(options?: CommitOptions): Promise<CommitReceipt>;
  /** As `drop`, on this thread. */
  dropSync(options?: CommitOptions): CommitReceipt;
}

/** A lease on bytes of a region: until it ends they do not change, whatever is committed. */
export interface RegionView extends Disposable {
  /** Of length 0 once the lease or the pool has ended. Writing into them reaches nobody else. */
  readonly bytes: Uint8Array;
  /**
   * False: the bytes were copied, because the place has no private mappings (device DAX), too many
   * are in use, or the pool is open for reading only.
   */
  readonly mapped: boolean;
  /** Ends the lease. Also by `using`. */
  end(): void;
}

/** A region in the list of all. */
export interface RegionInfo {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes of the pool that it takes, as of the newest fold. */
  readonly placedBytes: number;
}
