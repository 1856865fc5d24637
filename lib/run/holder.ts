/**
 * Leases: which drivers are alive.
 *
 * One handle of a pool is one holder; all runs it drives share its lease, a record that says until
 * when it is taken to be alive, renewed in the background by one eventual commit. A process owns a
 * pool alone, so when the pool is opened anew all holders of before are dead at once: their
 * incarnation has passed, however long their leases had to go. Within a process a lease ends with
 * its handle, also where a worker thread was terminated, or when it was not renewed in time. The
 * lease only decides who may *begin* to drive; that a stale driver records nothing is decided by
 * the engine, commit by commit (see writer.ts).
 */
import { randomBytes } from 'node:crypto';

import type { Batch, Keyspace, PoolCore } from '../types';
import type { DriverRecord } from './entries';
import { HOLDERS_KEYSPACE } from './keys';

const DEFAULT_LEASE_MS = 15_000;

interface HolderRecord {
  readonly incarnation: number;
  /** Of the pool's handle. Absent in records of older releases. */
  readonly handle?: number;
  /** On the clock of this machine that never jumps, which all threads share. */
  readonly until: number;
}

export class Holder {
  readonly id = randomBytes(8).toString('hex');
  leaseMs = DEFAULT_LEASE_MS;
  readonly #records: Keyspace<string, HolderRecord>;
  readonly #incarnation: number;
  readonly #driving = new Map<string, DriverRecord>();
  /** Whose runs this handle began to drive anew: the new records may be equal to these. */
  readonly #replaced = new WeakSet<DriverRecord>();
  /** Calls that are about to drive: their commits are seen before they are acknowledged. */
  readonly #beginning = new Map<string, number>();
  /** Of runs that this handle drives no more, though nobody could be told. */
  #givingBack: (() => boolean)[] = [];
  /** As it is stored. */
  #until = 0;
  /**
   * As a commit on its way says. Should that be refused, the others of its turn must have said so
   * themselves.
   */
  #vouched = 0;
  #timer: NodeJS.Timeout | undefined;

  static readonly #ofPool = new WeakMap<PoolCore, Holder>();

  static of(pool: PoolCore): Holder {
    let holder = Holder.#ofPool.get(pool);
    if (!holder) Holder.#ofPool.set(pool, (holder = new Holder(pool)));
    return holder;
  }

  static ifAny(pool: PoolCore): Holder | undefined {
    return Holder.#ofPool.get(pool);
  }

  private constructor(private readonly pool: PoolCore) {
    this.#records = pool.keyspace<string, HolderRecord>(HOLDERS_KEYSPACE, { value: 'json' });
    this.#incarnation = pool.stats().incarnation;
  }

  /** May nobody else begin to drive what this record's holder drives? */
  isAlive(driver: DriverRecord | undefined, run: string): boolean {
    if (!driver?.holder) return false;
    if (driver.holder === this.id) return this.#driving.has(run) || this.#beginning.has(run);
    return this.#lives(this.#records.get(driver.holder));
  }

  /**
   * Of what this handle is about to drive, or drives while its lease is good: says so without
   * reading anything.
   */
  holds(run: string): boolean {
    if (this.#beginning.has(run)) return true;
    return this.#driving.has(run) && this.#until > monotonicMs();
  }

  isReplaced(driver: DriverRecord): boolean {
    return this.#replaced.has(driver);
  }

  /** Adds to a commit that begins to drive what makes the lease good. */
  vouch(batch: Batch): void {
    const now = monotonicMs();
    if (this.#until - now > this.leaseMs / 2) return;
    if (this.#until === 0) this.#forgetTheDead(batch);
    this.#vouched = now + this.leaseMs;
    batch.put(this.#records, this.id, this.#record(this.#vouched));
  }

  /** `commit` makes `driver` the run's. */
  async begin<T>(run: string, driver: DriverRecord, commit: () => Promise<T>): Promise<T> {
    // Else nobody would begin here: somebody drove it since, or it was deleted.
    const former = this.#driving.get(run);
    if (former) this.#replaced.add(former);
    this.#beginning.set(run, (this.#beginning.get(run) ?? 0) + 1);
    try {
      const result = await commit();
      this.#until = Math.max(this.#until, this.#vouched);
      this.#driving.set(run, driver);
      this.#renewLater();
      return result;
    } finally {
      const others = this.#beginning.get(run)! - 1;
      if (others > 0) this.#beginning.set(run, others);
      else this.#beginning.delete(run);
    }
  }

  /** Unless somebody else of this handle drives the run since. */
  remove(run: string, driver: DriverRecord): void {
    if (this.#driving.get(run) !== driver) return;
    this.#driving.delete(run);
    if (this.#driving.size === 0) this.#renewNoMore();
  }

  /** `giveBack` is tried when the lease is renewed, until it says that it need not be any more. */
  giveBackLater(giveBack: () => boolean): void {
    this.#givingBack.push(giveBack);
    this.#renewLater();
  }

  /** Before the handle is closed: everything it drove is free at once. */
  end(): void {
    this.#renewNoMore();
    if (this.#until === 0 || this.pool.closed) return;
    this.#until = 0;
    try {
      this.#records.deleteSync(this.id, { durability: 'eventual' });
    } catch {
      // A pool that can't commit any more is closed all the same; the lease then ends with its time
      // or its incarnation.
    }
  }

  #renewLater(): void {
    this.#timer ??= setInterval(() => this.#renew(), Math.max(1, this.leaseMs / 3)).unref();
  }

  #renewNoMore(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #renew(): void {
    if (this.pool.closed) return this.end();
    this.#givingBack = this.#givingBack.filter((giveBack) => !giveBack());
    if (this.#driving.size === 0) {
      if (this.#givingBack.length === 0) this.#renewNoMore();
      return;
    }
    this.#until = monotonicMs() + this.leaseMs;
    // Should this fail, the lease runs out, and the next commit of a run says what is wrong with
    // the pool.
    this.#records
      .put(this.id, this.#record(this.#until), { durability: 'eventual' })
      .catch(() => {});
  }

  #record(until: number): HolderRecord {
    return { incarnation: this.#incarnation, handle: this.pool.handle, until };
  }

  #lives(record: HolderRecord | undefined): boolean {
    return record !== undefined && record.until > monotonicMs() && this.#mayRenew(record);
  }

  #mayRenew({ incarnation, handle }: HolderRecord): boolean {
    if (incarnation !== this.#incarnation) return false;
    // A reader in another process knows nothing of the writer's handles.
    return handle === undefined || this.pool.readOnly || this.pool.isOpen(handle);
  }

  /** Of earlier processes, and of threads of this one that were terminated. */
  #forgetTheDead(batch: Batch): void {
    for (const [id, record] of this.#records.range())
      if (!this.#mayRenew(record)) batch.delete(this.#records, id);
  }
}

interface Drivers {
  readonly pool: PoolCore;
  readonly drivers: Keyspace<string, DriverRecord>;
}

export function isDriven({ pool, drivers }: Drivers, run: string): boolean {
  return Holder.of(pool).isAlive(drivers.get(run), run);
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** How long this handle's leases last from one renewal to the next. */
export function setLease(pool: PoolCore, ms: number): void {
  Holder.of(pool).leaseMs = ms;
}

/** For closing a handle: ends the leases it holds, if it ever held one. */
export function endLeases(pool: PoolCore): void {
  if (!pool.closed) Holder.ifAny(pool)?.end();
}
