/** What is asked of a commit, and what it gives. */
import type { DurabilityClass } from './opening';

/**
 * `durable`: acknowledged after its barrier. `eventual`: acknowledged at once, behind a barrier a
 * little later.
 */
export type CommitDurability = 'durable' | 'eventual';

export interface CommitOptions {
  /** Default `durable`. */
  durability?: CommitDurability | undefined;
  /** Aborted before the commit is under way: `ERR_HOLDFAST_ABORTED`. No part of `…Sync` forms. */
  signal?: AbortSignal | undefined;
}

/** The receipt of one commit. */
export interface CommitReceipt {
  /** Number of the commit, strictly rising over the pool's life. */
  readonly epoch: number;
  /** What was asked for. */
  readonly durability: CommitDurability;
  /** What a durable commit in this pool survives. */
  readonly class: DurabilityClass;
}
