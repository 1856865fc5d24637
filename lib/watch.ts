/**
 * The change feed as an async iterator: the durable commits of a pool in the order of their epochs.
 *
 * Nothing is queued: a batch is read from the log when the consumer asks for more and the last one is used up, so however slow it
 * is, this side holds one batch. Its place in the log is kept for `lag` bytes; beyond that its segments may be given back, and it
 * is then told so (`ERR_HOLDFAST_FORGOTTEN`). The layout of a batch is in native/binding/watch_handle.h.
 */
import { bytes, decodeOwned } from './codecs';
import { abortedError, typeError } from './errors';
import { PoolKeyspace } from './keyspace';
import type { KeyspaceHost } from './keyspace';
import type { NativeWatch } from './native-binding';
import { optionsObject, signalOption, wholeNumber } from './options';
import { afterPrefix, bytesOf } from './range';
import type { Change, Codec, CommittedChanges, Watcher, WatchOptions } from './types';

interface Decoding {
  readonly keyspace: string;
  readonly key: Codec<unknown>;
  readonly value: Codec<unknown>;
}

const defaultLag = 64 * 1024 * 1024;

/** A watch that was asked for: its place in the log is taken at once, so nothing committed from here on is missed. */
export class PoolWatcher<K, V> implements Watcher<K, V> {
  readonly #host: KeyspaceHost;
  readonly #native: NativeWatch;
  readonly #keyspace: PoolKeyspace<K, V> | undefined;
  readonly #decodings = new Map<number, Decoding | undefined>();
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#end();
  #batch: Buffer | undefined;
  #position = 0;
  #batchEnd = 0;
  #epoch: number;
  #ended = false;
  #asking: Promise<unknown> = Promise.resolve();
  /** Compared here while the keyspace has no number yet. */
  readonly #prefix: Buffer | null;

  constructor(host: KeyspaceHost, given: WatchOptions<K, V> | undefined) {
    const options = optionsObject(given, 'watch');
    const { keyspace, prefix } = options;
    this.#signal = signalOption(options.signal);
    const lag = options.lag === undefined ? defaultLag : wholeNumber('lag', options.lag, 0, 2 ** 46);
    const from = options.from === undefined ? -1 : wholeNumber('from', options.from, 0, Number.MAX_SAFE_INTEGER);
    if (this.#signal?.aborted) throw abortedError(this.#signal, 'The watch');
    if (keyspace !== undefined) {
      if (!(keyspace instanceof PoolKeyspace) || !keyspace.belongsTo(host)) {
        throw typeError("keyspace must be one of this pool's; make it with pool.keyspace(name)");
      }
      this.#keyspace = keyspace;
    } else if (prefix !== undefined) {
      throw typeError('A prefix needs a keyspace to be a prefix in');
    }
    this.#host = host;
    const low = prefix === undefined ? null : bytesOf(this.#keyspace!.encodeKey(prefix));
    const high = low === null ? null : afterPrefix(low);
    // 0: there is no such keyspace yet. Then all changes are looked at here, until there is one.
    const number = this.#keyspace?.existing() ?? 0;
    this.#prefix = number === 0 ? low : null;
    this.#native = host.native.watch(number, number === 0 ? null : low, number === 0 ? null : high, from, lag);
    this.#epoch = this.#native.epoch;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  get epoch(): number {
    return this.#epoch;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Calls made before the last one has been answered are answered in order. */
  next(): Promise<IteratorResult<CommittedChanges<K, V>, undefined>> {
    const answer = this.#asking.then(() => this.#next());
    this.#asking = answer.catch(() => undefined);
    return answer;
  }

  async return(): Promise<IteratorResult<CommittedChanges<K, V>, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
  }

  async #next(): Promise<IteratorResult<CommittedChanges<K, V>, undefined>> {
    while (!this.#ended && !this.#host.closed) {
      if (this.#batch === undefined && !(await this.#fetch())) break;
      const item = this.#take(this.#batch!);
      if (item !== undefined) return { done: false, value: item };
    }
    this.#end();
    if (this.#signal?.aborted) throw abortedError(this.#signal, 'The watch');
    return { done: true, value: undefined };
  }

  async #fetch(): Promise<boolean> {
    if (this.#ended || this.#host.closed) return false;
    try {
      const batch = await this.#native.next();
      if (batch === undefined || this.#ended) return false;
      this.#batch = Buffer.from(batch);
      this.#batchEnd = this.#batch.readDoubleLE(0);
      this.#position = 8;
      return true;
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  /** The batch's next commit; undefined when nothing of it was asked for. */
  #take(batch: Buffer): CommittedChanges<K, V> | undefined {
    const epoch = batch.readDoubleLE(this.#position);
    const time = batch.readDoubleLE(this.#position + 8);
    let left = batch.readUInt32LE(this.#position + 16);
    let at = this.#position + 24;
    const changes: Change<K, V>[] = [];
    try {
      for (; left > 0; --left) {
        const number = batch.readUInt32LE(at);
        const keyStart = at + 16;
        const keyEnd = keyStart + batch.readUInt32LE(at + 4);
        const length = batch.readDoubleLE(at + 8);
        at = keyEnd + Math.max(length, 0);
        const key = batch.subarray(keyStart, keyEnd);
        const decoding = this.#decodingOf(number);
        if (decoding === undefined || !this.#asked(key)) continue;
        changes.push(this.#change(decoding, key, length < 0 ? undefined : batch.subarray(keyEnd, at)));
      }
    } catch (error) {
      this.#end();
      throw error;
    }
    this.#position = at;
    this.#epoch = epoch;
    if (at === batch.length) {
      this.#batch = undefined;
      this.#epoch = this.#batchEnd;
    }
    return changes.length === 0 ? undefined : { epoch, time, changes };
  }

  #change(decoding: Decoding, key: Buffer, value: Buffer | undefined): Change<K, V> {
    // Copies that last: a codec of the user's may keep what it is given.
    const decodedKey = decodeOwned(decoding.key, new Uint8Array(key)) as K;
    if (value === undefined) return { keyspace: decoding.keyspace, key: decodedKey, deleted: true };
    const decoded = decodeOwned(decoding.value, new Uint8Array(value)) as V;
    return { keyspace: decoding.keyspace, key: decodedKey, value: decoded, deleted: false };
  }

  #asked(key: Buffer): boolean {
    return this.#prefix === null || key.subarray(0, this.#prefix.length).equals(this.#prefix);
  }

  /** Undefined: not asked for. A keyspace's number never changes, but it may be new. */
  #decodingOf(number: number): Decoding | undefined {
    if (this.#decodings.has(number)) return this.#decodings.get(number);
    let decoding: Decoding | undefined;
    if (this.#keyspace !== undefined) {
      decoding = this.#keyspace.existing() === number ? this.#keyspace.decoding() : undefined;
    } else if (number !== 0) {
      const name = this.#host.native.keyspaces().find((one) => this.#host.native.keyspaceNumber(one, false) === number);
      if (name !== undefined) decoding = { keyspace: name, key: bytes, value: bytes };
    }
    this.#decodings.set(number, decoding);
    return decoding;
  }

  #end(): void {
    this.#ended = true;
    this.#batch = undefined;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#native.close();
  }
}
