/** What is asked of a commit, and what it gives. */
import type { DurabilityClass } from './opening';

/**
 * `durable`: acknowledged after its barrier. `eventual`: acknowledged at once, and behind a barrier
 * within `eventualWithin` (10 ms): a crash may lose the last ones.
 */
export type CommitDurability = 'durable' | 'eventual';

/** How one commit is made. */
export interface CommitOptions {
  /** Default `durable`: wait for the barrier. `eventual` does not wait. */
  durability?: CommitDurability | undefined;
  /**
   * Aborted before the commit is under way: `ERR_HOLDFAST_ABORTED`, and nothing was committed.
   * Later it has no effect. `…Sync` forms ignore it.
   */
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
