/**
 * The only file that loads the addon, and the addon's shape as TypeScript sees it.
 *
 * There are two builds of it: with libpmemobj and without. The first that loads is taken, so one
 * package works on machines with and without the library. Natives trust nothing they are given, but
 * explain little: lib/ validates.
 */
import bindings from 'bindings';
import { basename, dirname, join } from 'node:path';

import { errorFromNative } from './errors';
import { whyNotLoaded, type FailedBuild } from './not-loaded';
import type {
  CheckReport,
  CopyReport,
  DurabilityClass,
  PoolStats,
  RegionInfo,
  RestoreReport,
  SalvageReport,
} from './types';

/** What a codec gives: bytes, or a string that becomes UTF-8. */
export type Encoded = Uint8Array | string;

export interface NativeBatch {
  put(keyspace: number, key: Encoded, value: Encoded): void;
  /** `requireAbsent` and `put`: for a short commit each call counts. */
  putNew(keyspace: number, key: Encoded, value: Encoded): void;
  delete(keyspace: number, key: Encoded): void;
  requireAbsent(keyspace: number, key: Encoded): void;
  requirePresent(keyspace: number, key: Encoded): void;
  requireEqual(keyspace: number, key: Encoded, value: Encoded): void;
  regionWrite(region: number, offset: number, bytes: Uint8Array): void;
  /** 0: drops it. */
  regionSize(region: number, size: number, name: string): void;
  regionAdd(region: number, offset: number, delta: bigint): void;
  requireCell(region: number, offset: number, value: bigint): void;
  /**
   * What an addition came to; once the commit has succeeded, which empties the rest of the batch.
   */
  sum(addition: number): bigint;
  /** Of the changes, not of the conditions. */
  digest(): bigint;
  clear(): void;
}

export interface NativeSnapshot {
  readonly epoch: number;
  close(): void;
}

export interface NativeView {
  readonly bytes: Uint8Array;
  /** False where the place has no private mappings: the bytes were copied. */
  readonly mapped: boolean;
  /** Detaches the bytes. */
  end(): void;
}

export interface NativeRange {
  /**
   * Entries written into the buffers; 0 at the end. The layout is in
   * native/binding/range_handle.cc. What does not fit into `longestValue` is told and left out.
   */
  next(
    values: Uint8Array | null,
    offset: number,
    longestValue: number,
    keys: Uint8Array,
    lengths: Uint32Array,
    atMost: number,
  ): number;
  value(keyspace: number, key: Encoded, into: Uint8Array, offset: number): number;
  close(): void;
}

/** A cursor of the change feed; the layout of a batch is in native/binding/watch_handle.h. */
export interface NativeWatch {
  /** What is committed above this epoch is given. */
  readonly epoch: number;
  /** One at a time. Undefined: the end. */
  next(): Promise<ArrayBuffer | undefined>;
  close(): void;
}

export interface NativeBackup {
  /** The next block; undefined behind the last. */
  next(): Promise<ArrayBuffer | undefined>;
  status(): { epoch: number; entries: number; commits: number; bytes: number; fraction: number };
  close(): void;
}

export interface NativeBackupScan {
  write(bytes: Uint8Array): void;
  progress(): { begun: boolean; ended: boolean; goodBytes: number; epoch: number; time: number };
}

export interface NativeRestore {
  part(name: string): void;
  write(bytes: Uint8Array): Promise<void>;
  partEnd(): Promise<void>;
  finish(): Promise<RestoreReport>;
  /** Lets go of the pool, finished or not. */
  abandon(): Promise<void> | undefined;
}

export interface NativePool {
  /** The value's length; -1 when absent; -(2 + length) when it does not fit behind `offset`. */
  get(
    keyspace: number,
    key: Encoded,
    into: Uint8Array,
    offset: number,
    snapshot: NativeSnapshot | null,
  ): number;
  /** The same of the newest state, into what `landIn` was given: it must not have been detached. */
  getToSlab(keyspace: number, key: Encoded, offset: number): number;
  getToScratch(keyspace: number, key: Encoded, offset: number): number;
  has(keyspace: number, key: Encoded, snapshot: NativeSnapshot | null): boolean;
  count(
    keyspace: number,
    low: Uint8Array | null,
    high: Uint8Array | null,
    snapshot: NativeSnapshot | null,
  ): number;
  range(
    keyspace: number,
    low: Uint8Array | null,
    high: Uint8Array | null,
    reverse: boolean,
    limit: number,
    withValues: boolean,
    snapshot: NativeSnapshot | null,
  ): NativeRange;
  /**
   * `keyspace` 0: all of them. `from` -1: from now on. `region` 0: keys, else only what was done to
   * that region.
   */
  watch(
    keyspace: number,
    low: Uint8Array | null,
    high: Uint8Array | null,
    from: number,
    lag: number,
    region: number,
  ): NativeWatch;
  /** `since` -1: a full one. */
  backup(since: number, scan: NativeBackupScan | null): Promise<NativeBackup>;
  snapshot(): NativeSnapshot;
  putSync(keyspace: number, key: Encoded, value: Encoded, eventual: boolean): number;
  deleteSync(keyspace: number, key: Encoded, unused: undefined, eventual: boolean): number;
  commitSync(batch: NativeBatch, eventual: boolean): number;
  /** Queues; returns the ticket its completion will carry. Tickets of a pool rise. */
  put(keyspace: number, key: Encoded, value: Encoded, eventual: boolean): number;
  delete(keyspace: number, key: Encoded, unused: undefined, eventual: boolean): number;
  submit(batch: NativeBatch, eventual: boolean): number;
  /** Hands over what is queued, then drains. */
  flush(into: Float64Array, failures: Error[]): number;
  /** Pairs of ticket and epoch, in order; epoch -1: failed, its error is appended to `failures`. */
  drain(into: Float64Array, failures: Error[]): number;
  /** 0: there is none of that name, and `create` is false. */
  keyspaceNumber(name: string, create: boolean): number;
  keyspaces(): string[];
  /** Makes the region when it is not there and a size is given. */
  regionNumber(name: string, size: number | undefined): number;
  regionSize(region: number, snapshot: NativeSnapshot | null): number;
  /** The first offset from there on that may hold anything but zeros; the size if none does. */
  regionDataFrom(region: number, offset: number, snapshot: NativeSnapshot | null): number;
  /** Fills `into`. */
  regionRead(
    region: number,
    offset: number,
    into: Uint8Array,
    snapshot: NativeSnapshot | null,
  ): void;
  regions(snapshot: NativeSnapshot | null): RegionInfo[];
  viewRegion(
    region: number,
    offset: number,
    length: number,
    snapshot: NativeSnapshot | null,
  ): NativeView;
  viewValue(
    keyspace: number,
    key: Encoded,
    snapshot: NativeSnapshot | null,
  ): NativeView | undefined;
  /** Of this handle; no other of this process ever has the same. */
  readonly connection: number;
  /** Is that one, of any thread of this process, still open? */
  connectionLives(connection: number): boolean;
  /** The epoch of the commit that wrote the key's newest value, where the log still tells. */
  writtenAt(keyspace: number, key: Encoded): number | undefined;
  /** What does not change while the pool is open; costs next to nothing. */
  facts(): Pick<PoolStats, 'path' | 'medium' | 'durability' | 'durabilityReason'>;
  stats(): PoolStats;
  resize(bytes: number): Promise<void>;
  /** The epoch: of the newest durable state where the pool is open for reading only. */
  refresh(): Promise<number>;
  refreshSync(): number;
  settle(): Promise<void>;
  settleSync(): void;
  fold(): Promise<void>;
  compact(): Promise<void>;
  check(onProgress: ((fraction: number) => void) | null): {
    promise: Promise<CheckReport>;
    cancel(): void;
  };
  /** Undefined when it was closed before. */
  close(): Promise<void> | undefined;
  closeSync(): void;
}

/** Numbers as in native/medium/open_medium.h; what is undefined takes the default. */
export interface NativeOpenOptions {
  medium: 0 | 1 | 2;
  create: 0 | 1 | 2;
  size: number;
  grow: boolean;
  directories?: string[];
  atLeast: 1 | 2;
  readOnly: boolean;
  foldOperations?: number;
  eventualWithin?: number;
  retainMs?: number;
  retainBytes?: number;
}

/** What a place offers, and what `medium: 'auto'` would take there. */
export interface PlaceReport {
  /** Is there a pool? */
  readonly exists: boolean;
  /** The medium of that pool. */
  readonly poolMedium: '' | 'pmem' | 'file';
  readonly fileSystem: string;
  /** Does mapping with MAP_SYNC succeed? That proves persistent memory. */
  readonly mapSync: boolean;
  /** The file system's DAX attribute, which proves nothing. */
  readonly dax: boolean;
  readonly deviceDax: boolean;
  /** Is `PMEM_IS_PMEM_FORCE` set? */
  readonly pmemForced: boolean;
  readonly writable: boolean;
  /** Was this package built with libpmemobj? */
  readonly builtWithPmem: boolean;
  readonly libpmemobjVersion: string;
  /** What `auto` takes; empty where no pool can be. */
  readonly choice: '' | 'pmem' | 'file';
  /** What an acknowledged commit would survive there. */
  readonly durability: DurabilityClass;
  /** Why, in words. */
  readonly reason: string;
}

/** Where reads land: see lib/slab.ts. */
export interface Landing {
  readonly scratch: Buffer;
  slab: Buffer;
  /** Of the slab as it was made, and detached perhaps since. */
  slabBuffer: ArrayBufferLike;
  /** Of the slab. */
  used: number;
}

interface NativeAddon {
  // What the addon knows one of in each thread is kept here: copies of this package (test runners
  // and bundlers make them) share the addon.
  wakeListeners?: Set<() => void>;
  landing?: Landing;
  readonly NativeBatch: new () => NativeBatch;
  /**
   * The event loop's own, as they were when the addon was loaded: a test's fake timers replace
   * those that `process` and the global object have.
   */
  readonly nextTick: (callback: () => void) => void;
  readonly setImmediate: (callback: () => void) => unknown;
  configure(makeError: typeof errorFromNative, onWake: () => void): void;
  /**
   * 0: where `getToSlab` reads to from now on, 1: where `getToScratch` does. Kept from collection.
   */
  landIn(which: 0 | 1, bytes: Uint8Array): void;
  /** So many bytes agree, counted from the beginning or from the end. */
  commonBytes(a: Uint8Array, b: Uint8Array, fromEnd: boolean): number;
  open(path: string, options: NativeOpenOptions): Promise<NativePool>;
  openSync(path: string, options: NativeOpenOptions): NativePool;
  probe(path: string): PlaceReport;
  /** `directories` undefined: as the pool lies now. */
  resizeByCopy(path: string, bytes: number, directories: string[] | undefined): Promise<CopyReport>;
  /**
   * Locks the file for whoever has this descriptor open; false: somebody else has it locked. Where
   * there are no locks, true.
   */
  lockFile(fd: number): boolean;
  scanBackup(name: string): NativeBackupScan;
  /** `epoch` and `time` -1: all there is. */
  restore(
    path: string,
    options: NativeOpenOptions,
    epoch: number,
    time: number,
  ): Promise<NativeRestore>;
  salvage(
    from: string,
    to: string,
    options: NativeOpenOptions,
    onProgress: ((fraction: number) => void) | null,
  ): { promise: Promise<SalvageReport>; cancel(): void };
}

/**
 * The builds, the fuller one first. `HOLDFAST_ADDON` names one of them for tests. Each path is
 * written out, also that of the program which the first runs: what copies a program with the files
 * it uses (Next.js, @vercel/nft) finds them by reading this, where `join` is called by its name.
 */
function builds(): string[] {
  const [pmem, file] = [
    join(__dirname, '..', 'build', 'Release', 'holdfast_pmem.node'),
    join(__dirname, '..', 'build', 'Release', 'holdfast_file.node'),
    join(__dirname, '..', 'build', 'Release', 'holdfast_pmem_probe'),
  ];
  const only = process.env.HOLDFAST_ADDON;
  return only ? [join(dirname(file!), `${only}.node`)] : [pmem!, file!];
}

function load(): NativeAddon {
  const failed: FailedBuild[] = [];
  // A bundle of ES modules has no `__dirname`.
  const root = typeof __dirname === 'undefined' ? undefined : join(__dirname, '..');
  for (const file of root === undefined ? [] : builds()) {
    try {
      return bindings({ bindings: basename(file), module_root: root! }) as NativeAddon;
    } catch (error) {
      failed.push({ file, error });
    }
  }
  const cause = failed.at(-1)?.error as { code?: unknown } | undefined;
  // bindings() gives none where it finds nothing.
  const code = cause?.code ?? 'MODULE_NOT_FOUND';
  throw Object.assign(new Error(whyNotLoaded(root, failed), { cause }), { code });
}

export const native = load();

const wakeListeners = (native.wakeListeners ??= new Set());

/** `listener` runs on this thread when completions may have arrived, for any pool. */
export function onWake(listener: () => void): void {
  wakeListeners.add(listener);
}

export function offWake(listener: () => void): void {
  wakeListeners.delete(listener);
}

native.configure(errorFromNative, () => {
  for (const listener of [...wakeListeners]) listener();
});
