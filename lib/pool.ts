/**
 * An open pool: commits, reads, snapshots, backups, check, stats. `open` gives a `Holdfast`, which
 * is this and durable runs.
 *
 * It lives until it is closed or its environment ends. When the process exits, what waits is
 * completed and it is closed (at-exit.ts); when it is killed, everything acknowledged as durable is
 * there at the next open. A pool opened twice, also by several worker threads, is one pool
 * underneath, closed when the last handle is.
 */
import type { Writable } from 'node:stream';
import type { WritableStream } from 'node:stream/web';

import { closeAtExit, forgetAtExit } from './at-exit';
import { backupPool } from './backup';
import { PoolBatch } from './batch';
import { Committer } from './committer';
import { abortedError, closedError } from './errors';
import { PoolKeyspace } from './keyspace';
import type { KeyspaceHost } from './keyspace';
import type { NativeBatch, NativePool } from './native-binding';
import { eventualOption, optionsObject, signalOption, sizeOption } from './options';
import { checkProgress, watched } from './progress';
import { PoolRegion } from './region';
import { PoolSnapshot } from './snapshot';
import type {
  BackupOptions,
  BackupReport,
  Batch,
  CheckReport,
  Codec,
  CodecTypes,
  CommitOptions,
  CommitReceipt,
  DurabilityClass,
  Keyspace,
  KeyspaceOptions,
  Medium,
  PoolCore,
  PoolStats,
  Region,
  RegionInfo,
  RegionWatcher,
  RegionWatchOptions,
  SaidCodecName,
  Snapshot,
  Watcher,
  WatchOptions,
} from './types';
import { watchKeys, watchRegion } from './watch';

/** An open pool, without durable runs: `open` gives a `Holdfast`, which has those too. */
export class Pool implements PoolCore {
  readonly path: string;
  readonly medium: Medium;
  readonly durability: { readonly class: DurabilityClass; readonly reason: string };
  readonly readOnly: boolean;
  readonly handle: number;
  readonly #host: KeyspaceHost & { closed: boolean };
  readonly #cancels = new Set<() => void>();
  #closing: Promise<void> | undefined;

  /** For open() and openSync(): takes over the native pool. */
  constructor(native: NativePool, readOnly = false) {
    const facts = native.facts();
    this.readOnly = readOnly;
    this.handle = native.connection;
    this.path = facts.path;
    this.medium = facts.medium;
    this.durability = Object.freeze({ class: facts.durability, reason: facts.durabilityReason });
    const survives = facts.durability;
    const receipt = (epoch: number, eventual: boolean): CommitReceipt => ({
      epoch,
      durability: eventual ? 'eventual' : 'durable',
      class: survives,
    });
    this.#host = {
      closed: false,
      native,
      committer: new Committer(native, receipt, facts.medium === 'pmem'),
      receipt,
    };
    closeAtExit(this);
  }

  get closed(): boolean {
    return this.#host.closed;
  }

  isOpen(handle: number): boolean {
    return this.#host.native.connectionLives(handle);
  }

  keyspace<KN extends SaidCodecName = 'utf8', VN extends SaidCodecName = SaidCodecName>(
    name: string,
    options: { key?: KN | undefined; value: VN },
  ): Keyspace<CodecTypes[KN], CodecTypes[VN]>;
  keyspace<K, VN extends SaidCodecName>(
    name: string,
    options: { key: Codec<K>; value: VN },
  ): Keyspace<K, CodecTypes[VN]>;
  keyspace<KN extends SaidCodecName, V = unknown>(
    name: string,
    options: { key: KN; value?: Codec<V> | 'structured' | 'json' | undefined },
  ): Keyspace<CodecTypes[KN], V>;
  keyspace<K = string, V = unknown>(name: string, options?: KeyspaceOptions<K, V>): Keyspace<K, V>;
  keyspace<K, V>(name: string, options?: KeyspaceOptions<K, V>): Keyspace<K, V> {
    this.#mustBeOpen();
    return new PoolKeyspace<K, V>(this.#host, name, options);
  }

  keyspaces(): string[] {
    return this.#host.native.keyspaces();
  }

  region(name: string, options?: { size?: number | undefined }): Region {
    this.#mustBeOpen();
    return PoolRegion.open(this.#host, name, options);
  }

  regions(options?: { snapshot?: Snapshot | undefined }): RegionInfo[] {
    const { snapshot } = optionsObject(options, 'regions', ['snapshot']);
    return this.#host.native.regions(PoolSnapshot.nativeOf(snapshot, this.#host));
  }

  batch(): Batch {
    this.#mustBeOpen();
    return new PoolBatch(this.#host);
  }

  async commit(batch: Batch, options?: CommitOptions): Promise<CommitReceipt> {
    const eventual = eventualOption(options);
    const signal = signalOption(options?.signal);
    this.#mustBeOpen();
    if (signal?.aborted) throw abortedError(signal, 'The commit');
    const { committer } = this.#host;
    const keeps = committer.holds(signal);
    return PoolBatch.commit(
      batch,
      this.#host,
      (taken) => committer.commit(taken, eventual, signal),
      keeps,
    );
  }

  commitSync(batch: Batch, options?: CommitOptions): CommitReceipt {
    const eventual = eventualOption(options);
    this.#mustBeOpen();
    const { committer, native } = this.#host;
    if (committer.pending) committer.flush();
    const commit = (taken: NativeBatch): number => native.commitSync(taken, eventual);
    return this.#host.receipt(PoolBatch.commit(batch, this.#host, commit, false), eventual);
  }

  snapshot(): Snapshot {
    return new PoolSnapshot(this.#host.native.snapshot(), this.#host);
  }

  async resize(bytes: number): Promise<void> {
    const size = sizeOption(bytes);
    this.#mustBeOpen();
    await this.#host.native.resize(size);
  }

  async refresh(): Promise<number> {
    this.#mustBeOpen();
    return this.#host.native.refresh();
  }

  refreshSync(): number {
    this.#mustBeOpen();
    return this.#host.native.refreshSync();
  }

  watch(options: RegionWatchOptions): RegionWatcher;
  watch<K = Uint8Array, V = Uint8Array>(options?: WatchOptions<K, V>): Watcher<K, V>;
  watch(
    options?: RegionWatchOptions | WatchOptions,
  ): RegionWatcher | Watcher<Uint8Array, Uint8Array> {
    this.#mustBeOpen();
    return typeof options === 'object' && options !== null && 'region' in options
      ? watchRegion(this.#host, options)
      : watchKeys(this.#host, options);
  }

  async backup(
    target: string | Writable | WritableStream<Uint8Array>,
    options?: BackupOptions,
  ): Promise<BackupReport> {
    this.#mustBeOpen();
    return backupPool(this.#host, this.path, target, options, this.#cancels);
  }

  async settled(): Promise<void> {
    this.#mustBeOpen();
    this.#host.committer.flush();
    await this.#host.committer.idle();
    await this.#host.native.settle();
  }

  stats(): PoolStats {
    return this.#host.native.stats();
  }

  async check(given?: {
    signal?: AbortSignal | undefined;
    onProgress?: ((fraction: number) => void) | undefined;
  }): Promise<CheckReport> {
    const options = optionsObject(given, 'check', ['signal', 'onProgress']);
    const signal = signalOption(options.signal);
    const { onProgress } = options;
    checkProgress(onProgress);
    this.#mustBeOpen();
    return watched('The check', { signal, onProgress }, (tell) => {
      const work = this.#host.native.check(tell);
      this.#cancels.add(work.cancel);
      return { ...work, promise: work.promise.finally(() => this.#cancels.delete(work.cancel)) };
    });
  }

  async fold(): Promise<void> {
    await this.#host.native.fold();
  }

  async compact(): Promise<void> {
    await this.#host.native.compact();
  }

  /**
   * Commits on their way complete first; new ones get `ERR_HOLDFAST_CLOSED`. A running check or
   * backup is cancelled.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** As close(), on this thread. After close() it waits for that. */
  closeSync(): void {
    this.#closing ??= Promise.resolve();
    this.#beginClose();
    try {
      this.#host.native.closeSync();
    } finally {
      this.#endClose();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  [Symbol.dispose](): void {
    this.closeSync();
  }

  async #close(): Promise<void> {
    this.#beginClose();
    try {
      await this.#host.native.close();
    } finally {
      this.#endClose();
    }
  }

  #beginClose(): void {
    this.#host.committer.flush();
    this.#host.closed = true;
    for (const cancel of this.#cancels) cancel();
  }

  #endClose(): void {
    this.#host.committer.end();
    forgetAtExit(this);
  }

  #mustBeOpen(): void {
    if (this.#host.closed) throw closedError();
  }
}
