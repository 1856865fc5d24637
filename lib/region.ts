/**
 * A named range of bytes that commits change in place.
 *
 * Reads copy: what they give stays as it is. Writes are part of a commit like keys are, alone or in
 * a batch, and are seen by reads as soon as it is made. Additions and comparisons of 64-bit cells
 * are decided in the engine, one commit after the other, whatever threads they come from.
 */
import { constants } from 'node:buffer';
import { types } from 'node:util';

import { isConflict, memoryFor, rangeError, typeError } from './errors';
import type { KeyspaceHost } from './keyspace';
import { native as addon } from './native-binding';
import type { NativeBatch, NativeView } from './native-binding';
import {
  eventualOption,
  mustHaveBytes,
  optionsObject,
  regionName,
  shown,
  signalOption,
  wholeNumber,
} from './options';
import { PoolSnapshot } from './snapshot';
import type {
  CommitOptions,
  CommitReceipt,
  NumericArray,
  NumericArrayConstructor,
  Region,
  RegionView,
  Snapshot,
} from './types';

/** What a region has at most. */
const mostBytes = 2 ** 40;
const cellBytes = 8;

interface ReadOptions {
  snapshot?: Snapshot;
}

const readNames = ['snapshot'] as const;

export class PoolRegion implements Region {
  readonly name: string;
  readonly #host: KeyspaceHost;
  readonly #number: number;

  private constructor(host: KeyspaceHost, name: string, number: number) {
    this.name = name;
    this.#host = host;
    this.#number = number;
  }

  static open(host: KeyspaceHost, name: string, given: { size?: number } | undefined): PoolRegion {
    const options = optionsObject(given, 'a region', ['size']);
    const checked = regionName(name);
    const size = options.size === undefined ? undefined : sizeOf(options.size);
    return new PoolRegion(host, checked, host.native.regionNumber(checked, size));
  }

  /** For batches: the region must be of their pool. */
  static numberOf(region: Region, host: KeyspaceHost): number {
    if (!(region instanceof PoolRegion) || !(#host in region) || region.#host !== host) {
      throw typeError("The region must be one of this pool's; make it with pool.region(name)");
    }
    return region.#number;
  }

  get size(): number {
    return this.#host.native.regionSize(this.#number, null);
  }

  read(offset = 0, length?: number, options?: ReadOptions): Uint8Array {
    const at = byteOffset(offset);
    const snapshot = this.#snapshotOf(options);
    const has = this.#host.native.regionSize(this.#number, snapshot);
    const wanted =
      length === undefined ? Math.max(0, has - at) : wholeNumber('length', length, 0, mostBytes);
    if (at + wanted > has) throw this.#outside(at, wanted, has); // before memory is taken for it
    const bytes = memoryFor(wanted, () => new Uint8Array(wanted));
    this.#host.native.regionRead(this.#number, at, bytes, snapshot);
    return bytes;
  }

  readInto(target: ArrayBufferView, offset: number, options?: ReadOptions): void {
    const bytes = bytesOf(target);
    const at = byteOffset(offset);
    const snapshot = this.#snapshotOf(options);
    // What is read is verified where it lies then: not where other threads write.
    const own = types.isSharedArrayBuffer(bytes.buffer)
      ? memoryFor(bytes.length, () => new Uint8Array(bytes.length))
      : bytes;
    this.#host.native.regionRead(this.#number, at, own, snapshot);
    if (own !== bytes) bytes.set(own);
  }

  typed<T extends NumericArray>(
    type: NumericArrayConstructor<T>,
    offset: number,
    length: number,
    options?: ReadOptions,
  ): T {
    const each = typeof type === 'function' ? type.BYTES_PER_ELEMENT : undefined;
    if (!Number.isInteger(each) || each! < 1)
      throw typeError(`type must be a typed array's class, not ${shown(type)}`);
    const at = byteOffset(offset);
    const count = wholeNumber('length', length, 0, mostBytes);
    const snapshot = this.#snapshotOf(options);
    const has = this.#host.native.regionSize(this.#number, snapshot);
    if (at + count * each! > has) throw this.#outside(at, count * each!, has);
    const numbers = memoryFor(count * each!, () => new type(count));
    this.#host.native.regionRead(this.#number, at, bytesOf(numbers), snapshot);
    return numbers;
  }

  dataView(offset: number, length: number, options?: ReadOptions): DataView {
    const bytes = this.read(offset, length, options);
    return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  nextData(offset = 0, options?: ReadOptions): number {
    return this.#host.native.regionDataFrom(
      this.#number,
      byteOffset(offset),
      this.#snapshotOf(options),
    );
  }

  view(offset = 0, length?: number, options?: ReadOptions): RegionView {
    const at = byteOffset(offset);
    const snapshot = this.#snapshotOf(options);
    const has = this.#host.native.regionSize(this.#number, snapshot);
    const wanted =
      length === undefined ? Math.max(0, has - at) : wholeNumber('length', length, 0, mostBytes);
    if (at + wanted > has) throw this.#outside(at, wanted, has);
    if (wanted > constants.MAX_LENGTH) {
      throw rangeError(
        `A view has at most ${constants.MAX_LENGTH} bytes in this Node.js, not ${wanted}; view a part of the region`,
      );
    }
    return new RegionLease(this.#host.native.viewRegion(this.#number, at, wanted, snapshot));
  }

  async write(
    offset: number,
    bytes: ArrayBufferView,
    options?: CommitOptions,
  ): Promise<CommitReceipt> {
    return this.#commit(this.#writing(offset, bytes), options);
  }

  writeSync(offset: number, bytes: ArrayBufferView, options?: CommitOptions): CommitReceipt {
    return this.#commitSync(this.#writing(offset, bytes), options);
  }

  async add(offset: number, delta: bigint, options?: CommitOptions): Promise<bigint> {
    const batch = this.#adding(offset, delta);
    await this.#commit(batch, options);
    return batch.sum(0);
  }

  addSync(offset: number, delta: bigint, options?: CommitOptions): bigint {
    const batch = this.#adding(offset, delta);
    this.#commitSync(batch, options);
    return batch.sum(0);
  }

  async compareAndSwap(
    offset: number,
    expected: bigint,
    desired: bigint,
    options?: CommitOptions,
  ): Promise<boolean> {
    try {
      await this.#commit(this.#swapping(offset, expected, desired), options);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  compareAndSwapSync(
    offset: number,
    expected: bigint,
    desired: bigint,
    options?: CommitOptions,
  ): boolean {
    try {
      this.#commitSync(this.#swapping(offset, expected, desired), options);
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  async resize(size: number, options?: CommitOptions): Promise<CommitReceipt> {
    return this.#commit(this.#resizing(sizeOf(size)), options);
  }

  resizeSync(size: number, options?: CommitOptions): CommitReceipt {
    return this.#commitSync(this.#resizing(sizeOf(size)), options);
  }

  async grow(size: number, options?: CommitOptions): Promise<CommitReceipt> {
    const now = this.size;
    if (sizeOf(size) < now)
      throw rangeError(`The region has ${now} bytes; grow takes more, not ${size}`);
    return this.resize(size, options);
  }

  async shrink(size: number, options?: CommitOptions): Promise<CommitReceipt> {
    const now = this.size;
    if (sizeOf(size) > now)
      throw rangeError(`The region has ${now} bytes; shrink takes less, not ${size}`);
    return this.resize(size, options);
  }

  async drop(options?: CommitOptions): Promise<CommitReceipt> {
    return this.#commit(this.#dropping(), options);
  }

  dropSync(options?: CommitOptions): CommitReceipt {
    return this.#commitSync(this.#dropping(), options);
  }

  #writing(offset: number, bytes: ArrayBufferView): NativeBatch {
    const batch = new addon.NativeBatch();
    batch.regionWrite(this.#number, byteOffset(offset), bytesOf(bytes));
    return batch;
  }

  #adding(offset: number, delta: bigint): NativeBatch {
    const batch = new addon.NativeBatch();
    batch.regionAdd(this.#number, cellOffset(offset), cellValue('delta', delta));
    return batch;
  }

  #swapping(offset: number, expected: bigint, desired: bigint): NativeBatch {
    const at = cellOffset(offset);
    const batch = new addon.NativeBatch();
    batch.requireCell(this.#number, at, cellValue('expected', expected));
    const cell = new DataView(new ArrayBuffer(cellBytes));
    cell.setBigUint64(0, BigInt.asUintN(64, cellValue('desired', desired)), true);
    batch.regionWrite(this.#number, at, bytesOf(cell));
    return batch;
  }

  /** Refused when the region was dropped meanwhile, and perhaps made anew under the same name. */
  #resizing(size: number): NativeBatch {
    const batch = new addon.NativeBatch();
    batch.requireEqual(0, `r${this.name}`, this.#numberBytes());
    batch.regionSize(this.#number, size, this.name);
    return batch;
  }

  #dropping(): NativeBatch {
    const batch = new addon.NativeBatch();
    batch.requireEqual(0, `r${this.name}`, this.#numberBytes());
    batch.delete(0, `r${this.name}`);
    batch.regionSize(this.#number, 0, this.name);
    return batch;
  }

  #numberBytes(): Uint8Array {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, this.#number, true);
    return bytes;
  }

  async #commit(batch: NativeBatch, options: CommitOptions | undefined): Promise<CommitReceipt> {
    const eventual = eventualOption(options);
    return this.#host.committer.commit(batch, eventual, signalOption(options?.signal));
  }

  #commitSync(batch: NativeBatch, options: CommitOptions | undefined): CommitReceipt {
    const eventual = eventualOption(options);
    if (this.#host.committer.pending) this.#host.committer.flush();
    return this.#host.receipt(this.#host.native.commitSync(batch, eventual), eventual);
  }

  #snapshotOf(options: ReadOptions | undefined): ReturnType<typeof PoolSnapshot.nativeOf> {
    return PoolSnapshot.nativeOf(optionsObject(options, 'a read', readNames).snapshot, this.#host);
  }

  #outside(offset: number, length: number, size: number): Error {
    return rangeError(
      `The region '${this.name}' has ${size} bytes; ${length} bytes at offset ${offset} are not all inside`,
    );
  }
}

class RegionLease implements RegionView {
  readonly bytes: Uint8Array;
  readonly mapped: boolean;
  readonly #native: NativeView;

  constructor(native: NativeView) {
    this.#native = native;
    this.bytes = native.bytes;
    this.mapped = native.mapped;
  }

  end(): void {
    this.#native.end();
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

function sizeOf(size: unknown): number {
  return wholeNumber('size', size, 1, mostBytes);
}

export function byteOffset(offset: unknown): number {
  return wholeNumber('offset', offset, 0, mostBytes);
}

export function cellOffset(offset: unknown): number {
  const at = byteOffset(offset);
  if (at % cellBytes !== 0) {
    throw typeError(`A 64-bit cell begins at a multiple of ${cellBytes}, not at offset ${at}`);
  }
  return at;
}

/** Signed or unsigned, of 64 bits. */
export function cellValue(name: string, value: unknown): bigint {
  if (typeof value !== 'bigint') throw typeError(`${name} must be a bigint, not ${shown(value)}`);
  if (BigInt.asUintN(64, value) !== value && BigInt.asIntN(64, value) !== value) {
    throw rangeError(`${name} does not fit into 64 bits`);
  }
  return value;
}

export function bytesOf(given: unknown): Uint8Array {
  if (!ArrayBuffer.isView(given)) {
    throw typeError(
      `Bytes must come as a Uint8Array, another typed array or a DataView, not ${shown(given)}`,
    );
  }
  mustHaveBytes(given);
  return types.isUint8Array(given)
    ? given
    : new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
}
