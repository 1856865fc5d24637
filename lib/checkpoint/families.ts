/**
 * Families: the owners whose checkpoints share nodes, which are those that were forked from each
 * other. A node of a family goes when no checkpoint of any member needs it; the version rises
 * whenever a member comes or goes, so that who has looked can tell whether it still holds.
 */
import type { Guard } from '../slices';
import type { Batch, Keyspace, PoolCore, Snapshot } from '../types';

/** One family as it was when it was asked for. */
export interface Family {
  readonly number: number;
  readonly owners: readonly string[];
  /** The commit is refused if a member has come or gone since. */
  readonly unchanged: Guard;
}

export class Families {
  readonly #families: Keyspace<string, number | bigint>;
  readonly #versions: Keyspace<number | bigint, number | bigint>;
  readonly #members: Keyspace<string, string>;

  constructor(pool: PoolCore) {
    this.#families = pool.keyspace('holdfast.checkpoint-owners', { value: 'uint64' });
    this.#versions = pool.keyspace('holdfast.checkpoint-families', {
      key: 'uint64',
      value: 'uint64',
    });
    this.#members = pool.keyspace('holdfast.checkpoint-members', { value: 'utf8' });
  }

  /** The owner's family; undefined: it has no checkpoint. */
  of(owner: string): number | undefined {
    const family = this.#families.get(owner);
    return family === undefined ? undefined : Number(family);
  }

  join(batch: Batch, owner: string, family: number): void {
    batch
      .put(this.#families, owner, family)
      .put(this.#members, memberKey(family, owner), '')
      .put(this.#versions, family, this.#version(family) + 1);
  }

  /** Whoever leaves with the last member leaves nothing behind. */
  leave(batch: Batch, owners: ReadonlySet<string>, family: number): void {
    this.unchanged(family)(batch);
    for (const owner of owners)
      batch.delete(this.#families, owner).delete(this.#members, memberKey(family, owner));
    if (this.isOf(family, owners)) batch.delete(this.#versions, family);
    else batch.put(this.#versions, family, this.#version(family) + 1);
  }

  /** Has the family no others? */
  isOf(family: number, owners: ReadonlySet<string>): boolean {
    for (const member of this.members(family)) if (!owners.has(member)) return false;
    return true;
  }

  family(number: number): Family {
    // In this order: who comes in between is noticed by the commit.
    const unchanged = this.unchanged(number);
    return { number, owners: [...this.members(number)], unchanged };
  }

  /** The commit is refused if the owner has a family by then. */
  requireNone(batch: Batch, owner: string): Batch {
    return batch.requireAbsent(this.#families, owner);
  }

  /** For batches that are committed later: refused if a member has come or gone since now. */
  unchanged(family: number): Guard {
    const version = this.#versions.get(family);
    return (batch) =>
      version === undefined
        ? batch.requireAbsent(this.#versions, family)
        : batch.requireEqual(this.#versions, family, version);
  }

  *members(family: number, snapshot?: Snapshot): IterableIterator<string> {
    const prefix = memberKey(family, '');
    for (const member of this.#members.keys({ prefix, snapshot }))
      yield member.slice(prefix.length);
  }

  #version(family: number): number {
    return Number(this.#versions.get(family) ?? 0);
  }
}

function memberKey(family: number, owner: string): string {
  return `${String(family).padStart(15, '0')}/${owner}`;
}
