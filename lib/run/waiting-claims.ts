/**
 * Claims that wait until there is a run to drive: one queue for each handle of a pool.
 *
 * What makes a run runnable is a commit (somebody begins it, closes it, gives it a signal), which
 * the change feed tells of, also those of other threads; or a moment that comes, for which there is
 * a timer. What neither tells, a driver whose thread or lease ended or a clock that was set, is
 * looked for every `LOOK_AGAIN_MS`, while somebody waits. Nothing here outlives the process: a
 * crash leaves every run as it is in the pool, claimed or not.
 */
import { closedError, type HoldfastError } from '../errors';
import { PoolKeyspace } from '../keyspace';
import type { PoolCore, Watcher } from '../types';
import { type Claim, ClaimQueue } from './claim-queue';
import { isFree, openUnlessTaken, runnableIds } from './claimable';
import { Journals } from './journals';
import { ASLEEP_KEYSPACE, AWAKE_KEYSPACE, CALLED_KEYSPACE, momentKeyCodec } from './keys';
import { whoGoesOn } from './ready';
import type { DurableRun } from './run';
import type { RunOptions } from './types';

const LOOK_AGAIN_MS = 1000;

export class WaitingClaims {
  readonly #claims = new ClaimQueue(() => this.#stop());
  #feeds: Watcher<Uint8Array, Uint8Array>[] = [];
  /** Runs that the feeds told of and nobody looked at since. */
  readonly #heard = new Set<string>();
  /** Prefixes of which none was runnable, but for what was heard since. */
  readonly #exhausted = new Set<string>();
  /** Those that turned out to be broken when they were opened. */
  readonly #broken = new Set<string>();
  /** Sleepers until then were looked at. */
  #lookedUntil = 0;
  /** On the clock of performance.now(): when all are to be looked at again. */
  #allAgainAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Immediate | undefined;
  readonly #warned = new Set<string>();
  readonly #journals: Journals;

  static readonly #ofPool = new WeakMap<PoolCore, WaitingClaims>();

  static of(pool: PoolCore): WaitingClaims {
    let claims = WaitingClaims.#ofPool.get(pool);
    if (!claims) WaitingClaims.#ofPool.set(pool, (claims = new WaitingClaims(pool)));
    return claims;
  }

  static ifAny(pool: PoolCore): WaitingClaims | undefined {
    return WaitingClaims.#ofPool.get(pool);
  }

  private constructor(private readonly pool: PoolCore) {
    this.#journals = Journals.of(pool);
  }

  claim(prefix: string, driving: RunOptions, signal?: AbortSignal): Promise<DurableRun> {
    const claimed = this.#claims.add(prefix, driving, signal);
    this.#look();
    return claimed;
  }

  /** All that wait are told `error`: the pool is closed, or cannot be read any more. */
  end(error: unknown): void {
    this.#stop();
    this.#claims.rejectAll(error);
  }

  #look(): void {
    if (this.#claims.size === 0) return this.#stop();
    try {
      this.#listen();
      this.#hearSleepers();
      const none = new Set<string>();
      for (const claim of this.#claims) {
        if (claim.opening || none.has(claim.prefix)) continue;
        const id = this.#next(claim.prefix);
        if (id === undefined) none.add(claim.prefix);
        else void this.#open(claim, id);
      }
      this.#setTimer();
    } catch (error) {
      this.end(error);
    }
  }

  /** What many commits tell at once is looked at once. */
  #lookSoon(): void {
    this.#soon ??= setImmediate(() => {
      this.#soon = undefined;
      if (this.#claims.size > 0) this.#look();
    });
  }

  #next(prefix: string): string | undefined {
    const problems: HoldfastError[] = [];
    try {
      for (const id of this.#heard) {
        if (!id.startsWith(prefix)) continue;
        this.#heard.delete(id);
        if (this.#broken.has(id) || !isFree(this.#journals, id, problems)) continue;
        const first = whoGoesOn(this.#journals, id, prefix);
        if (first === undefined) continue;
        if (first === id || isFree(this.#journals, first, problems)) return first;
      }
      if (this.#exhausted.has(prefix)) return undefined;
      for (const id of runnableIds(this.#journals, prefix, problems))
        if (!this.#broken.has(id)) return id;
      this.#exhausted.add(prefix);
      return undefined;
    } finally {
      this.#warnOf(problems);
    }
  }

  async #open(claim: Claim, id: string): Promise<void> {
    claim.opening = true;
    const problems: HoldfastError[] = [];
    try {
      const run = await openUnlessTaken(this.pool, id, claim.driving, problems);
      claim.opening = false;
      this.#warnOf(problems);
      if (problems.length > 0) this.#broken.add(id);
      if (run === undefined) this.#lookSoon();
      else if (this.#claims.has(claim)) claim.resolve(run);
      // It was aborted meanwhile: the run is for another.
      else run.close();
    } catch (error) {
      claim.reject(error);
    }
  }

  #listen(): void {
    if (performance.now() >= this.#allAgainAt) this.#forget();
    if (this.#feeds.length > 0) return;
    this.#forget();
    const runOf = (key: Uint8Array): string => Buffer.from(key).toString('utf8');
    this.#hear(AWAKE_KEYSPACE, runOf);
    this.#hear(CALLED_KEYSPACE, runOf);
    this.#hear(ASLEEP_KEYSPACE, (key) => momentKeyCodec.decode(key).run);
  }

  /** All are looked at again, so nothing that was heard is needed. */
  #forget(): void {
    this.#heard.clear();
    this.#exhausted.clear();
    this.#broken.clear();
    this.#allAgainAt = performance.now() + LOOK_AGAIN_MS;
  }

  #hear(name: string, runOf: (key: Uint8Array) => string): void {
    const keyspace = this.pool.keyspace(name, { key: 'bytes', value: 'bytes' });
    // A feed of one that is not there yet would bring all changes of the pool here.
    if (keyspace instanceof PoolKeyspace) keyspace.toWrite();
    const feed = this.pool.watch({ keyspace });
    this.#feeds.push(feed);
    void this.#follow(feed, runOf);
  }

  async #follow(
    feed: Watcher<Uint8Array, Uint8Array>,
    runOf: (key: Uint8Array) => string,
  ): Promise<void> {
    try {
      for await (const { changes } of feed) {
        for (const { key } of changes) this.#heard.add(runOf(key));
        this.#lookSoon();
      }
    } catch {
      // It fell too far behind, or the pool failed. Whoever looks next listens anew and looks at
      // all, or is told by the pool.
    }
    if (this.#feeds.includes(feed)) this.#stopListening();
  }

  #hearSleepers(): void {
    const now = Date.now();
    const { asleep } = this.#journals;
    const since = { gte: { at: this.#lookedUntil, run: '' }, lt: { at: now + 1, run: '' } };
    for (const { run } of asleep.keys(since)) this.#heard.add(run);
    this.#lookedUntil = now;
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    let ms = this.#allAgainAt - performance.now();
    const next = { gt: { at: this.#lookedUntil + 1, run: '' }, limit: 1 };
    for (const { at } of this.#journals.asleep.keys(next))
      ms = Math.min(ms, at - this.#lookedUntil);
    // Looking may have taken until then, or longer.
    this.#timer = setTimeout(() => this.#look(), Math.max(0, ms));
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#soon);
    this.#soon = undefined;
    this.#stopListening();
  }

  #stopListening(): void {
    const feeds = this.#feeds;
    this.#feeds = [];
    for (const feed of feeds) void feed.return?.();
  }

  /** One that cannot be read keeps nobody waiting for it. */
  #warnOf(problems: readonly HoldfastError[]): void {
    for (const { message } of problems) {
      if (this.#warned.has(message)) continue;
      this.#warned.add(message);
      process.emitWarning(`a run cannot be claimed: ${message}`, 'HoldfastRunWarning');
    }
  }
}

/** For closing a handle: nobody waits for it any more. */
export function endClaims(pool: PoolCore): void {
  WaitingClaims.ifAny(pool)?.end(closedError());
}
