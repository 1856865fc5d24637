/**
 * The change feed as an async iterator: the durable commits of a pool in the order of their epochs.
 *
 * Nothing is queued: a batch is read from the log when the consumer asks for more and the last one
 * is used up, so however slow it is, this side holds one batch. Its place in the log is kept for
 * `lag` bytes; beyond that its segments may be given back, and it is then told so
 * (`ERR_HOLDFAST_FORGOTTEN`). The layout of a batch is in native/binding/watch_handle.h.
 */
import { onAbort } from './abort';
import { bytes, decodeOwned } from './codecs';
import { abortedError, typeError } from './errors';
import { PoolKeyspace } from './keyspace';
import type { KeyspaceHost } from './keyspace';
import type { NativeWatch } from './native-binding';
import { optionsObject, signalOption, wholeNumber } from './options';
import { afterPrefix, bytesOf } from './range';
import { PoolRegion } from './region';
import type {
  Change,
  Codec,
  RegionChange,
  RegionWatcher,
  RegionWatchOptions,
  Watcher,
  WatchOptions,
} from './types';

interface Decoding {
  readonly keyspace: string;
  readonly key: Codec<unknown>;
  readonly value: Codec<unknown>;
}

/**
 * Makes one change of what stands in a batch; undefined: it was not asked for. What it is given is
 * overwritten later.
 */
type Pick<C> = (keyspace: number, key: Buffer, value: Buffer | undefined) => C | undefined;

interface Item<C> {
  readonly epoch: number;
  readonly time: number;
  readonly changes: readonly C[];
}

const defaultLag = 64 * 1024 * 1024;

/**
 * Watches that nobody holds any more and nobody ended. Their signal, which may be the process's
 * own, must not hold them, and with them their place in the log. (One whose `next()` waits is held
 * by that.)
 */
const dropped = new FinalizationRegistry<() => void>((forgetSignal) => forgetSignal());

/**
 * A watch that was asked for: its place in the log is taken at once, so nothing committed from here
 * on is missed.
 */
class PoolFeed<C> implements AsyncIterableIterator<Item<C>, undefined>, AsyncDisposable {
  readonly #host: KeyspaceHost;
  readonly #native: NativeWatch;
  readonly #pick: Pick<C>;
  readonly #signal: AbortSignal | undefined;
  readonly #forgetSignal: (() => void) | undefined;
  #batch: Buffer | undefined;
  #position = 0;
  #batchEnd = 0;
  #epoch: number;
  #ended = false;
  #asking: Promise<unknown> = Promise.resolve();

  constructor(
    host: KeyspaceHost,
    native: NativeWatch,
    signal: AbortSignal | undefined,
    pick: Pick<C>,
  ) {
    this.#host = host;
    this.#native = native;
    this.#signal = signal;
    this.#pick = pick;
    this.#epoch = native.epoch;
    if (signal === undefined) return;
    const self = new WeakRef(this);
    this.#forgetSignal = onAbort(signal, () => {
      const watch = self.deref();
      if (watch !== undefined) watch.#end();
    });
    dropped.register(this, this.#forgetSignal, this);
  }

  get epoch(): number {
    return this.#epoch;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Calls made before the last one has been answered are answered in order. */
  next(): Promise<IteratorResult<Item<C>, undefined>> {
    const answer = this.#asking.then(() => this.#next());
    this.#asking = answer.catch(() => undefined);
    return answer;
  }

  async return(): Promise<IteratorResult<Item<C>, undefined>> {
    this.#end();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
  }

  async #next(): Promise<IteratorResult<Item<C>, undefined>> {
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
  #take(batch: Buffer): Item<C> | undefined {
    const epoch = batch.readDoubleLE(this.#position);
    const time = batch.readDoubleLE(this.#position + 8);
    let left = batch.readUInt32LE(this.#position + 16);
    let at = this.#position + 24;
    const changes: C[] = [];
    try {
      for (; left > 0; --left) {
        const number = batch.readUInt32LE(at);
        const keyStart = at + 16;
        const keyEnd = keyStart + batch.readUInt32LE(at + 4);
        const length = batch.readDoubleLE(at + 8);
        at = keyEnd + Math.max(length, 0);
        const change = this.#pick(
          number,
          batch.subarray(keyStart, keyEnd),
          length < 0 ? undefined : batch.subarray(keyEnd, at),
        );
        if (change !== undefined) changes.push(change);
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

  #end(): void {
    this.#ended = true;
    this.#batch = undefined;
    this.#forgetSignal?.();
    dropped.unregister(this);
    this.#native.close();
  }
}

interface Place {
  readonly from: number;
  readonly lag: number;
  readonly signal: AbortSignal | undefined;
}

function placeOf(options: { from?: number; lag?: number; signal?: AbortSignal }): Place {
  const signal = signalOption(options.signal);
  const lag = options.lag === undefined ? defaultLag : wholeNumber('lag', options.lag, 0, 2 ** 46);
  const from =
    options.from === undefined ? -1 : wholeNumber('from', options.from, 0, Number.MAX_SAFE_INTEGER);
  if (signal?.aborted) throw abortedError(signal, 'The watch');
  return { from, lag, signal };
}

/** What was done to keys. A keyspace's number never changes, but it may be new. */
export function watchKeys<K, V>(
  host: KeyspaceHost,
  given: WatchOptions<K, V> | undefined,
): Watcher<K, V> {
  const options = optionsObject(given, 'watch', ['keyspace', 'prefix', 'from', 'lag', 'signal']);
  const { prefix } = options;
  const { from, lag, signal } = placeOf(options);
  const keyspace = keyspaceOf(host, options);
  const low = prefix === undefined ? null : bytesOf(keyspace!.encodeKey(prefix));
  const high = low === null ? null : afterPrefix(low);
  // 0: there is no such keyspace yet. Then all changes are looked at here, until there is one.
  const number = keyspace?.existing() ?? 0;
  const compared = number === 0 ? low : null;
  const native =
    number === 0
      ? host.native.watch(0, null, null, from, lag, 0)
      : host.native.watch(number, low, high, from, lag, 0);

  const decodings = new Map<number, Decoding | undefined>();
  const decodingOf = (of: number): Decoding | undefined => {
    if (decodings.has(of)) return decodings.get(of);
    let decoding: Decoding | undefined;
    if (keyspace !== undefined) {
      decoding = keyspace.existing() === of ? keyspace.decoding() : undefined;
    } else if (of !== 0) {
      const name = host.native
        .keyspaces()
        .find((one) => host.native.keyspaceNumber(one, false) === of);
      if (name !== undefined) decoding = { keyspace: name, key: bytes, value: bytes };
    }
    decodings.set(of, decoding);
    return decoding;
  };
  return new PoolFeed<Change<K, V>>(host, native, signal, (of, key, value) => {
    const decoding = decodingOf(of);
    if (decoding === undefined) return undefined;
    if (compared !== null && !key.subarray(0, compared.length).equals(compared)) return undefined;
    // Copies that last: a codec of the user's may keep what it is given.
    const decodedKey = decodeOwned(decoding.key, new Uint8Array(key)) as K;
    if (value === undefined) return { keyspace: decoding.keyspace, key: decodedKey, deleted: true };
    const decoded = decodeOwned(decoding.value, new Uint8Array(value)) as V;
    return { keyspace: decoding.keyspace, key: decodedKey, value: decoded, deleted: false };
  });
}

function keyspaceOf<K, V>(
  host: KeyspaceHost,
  { keyspace, prefix }: WatchOptions<K, V>,
): PoolKeyspace<K, V> | undefined {
  if (keyspace === undefined) {
    if (prefix !== undefined) throw typeError('A prefix needs a keyspace to be a prefix in');
    return undefined;
  }
  if (!(keyspace instanceof PoolKeyspace) || !keyspace.belongsTo(host)) {
    throw typeError("keyspace must be one of this pool's; make it with pool.keyspace(name)");
  }
  return keyspace;
}

/** What was done to one region. */
export function watchRegion(host: KeyspaceHost, given: RegionWatchOptions): RegionWatcher {
  const options = optionsObject(given as RegionWatchOptions & WatchOptions, 'watch', [
    'region',
    'keyspace',
    'prefix',
    'from',
    'lag',
    'signal',
  ]);
  if (options.keyspace !== undefined || options.prefix !== undefined) {
    throw typeError('A watch is of a region or of keys: leave out the keyspace, or watch twice');
  }
  const { from, lag, signal } = placeOf(options);
  const native = host.native.watch(
    0,
    null,
    null,
    from,
    lag,
    PoolRegion.numberOf(given.region, host),
  );
  return new PoolFeed<RegionChange>(host, native, signal, (_, key, value) => {
    const word = Number(key.readBigUInt64LE(0));
    return value === undefined ? { size: word } : { offset: word, bytes: new Uint8Array(value) };
  });
}
