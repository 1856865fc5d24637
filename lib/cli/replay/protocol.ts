/** What the processes of a replay say to each other: shapes only. */
import type { ToolSafety } from '../../run/types';
import type { DurabilityClass, Medium } from '../../types';

// ── Driver and verifier to the ledger, one JSON line each over its socket; every request is
// answered with its id ──

export interface PerformRequest {
  readonly id: number;
  readonly op: 'perform';
  readonly key: string;
  readonly conversation: number;
  readonly call: number;
  readonly safety: ToolSafety;
  readonly args: string;
}

export type LedgerRequest =
  | PerformRequest
  | { readonly id: number; readonly op: 'hello'; readonly generation: number }
  | { readonly id: number; readonly op: 'probe'; readonly key: string }
  | { readonly id: number; readonly op: 'performances' };

/** An effect that was really performed, once for each time it was. */
export interface Performance {
  readonly key: string;
  readonly conversation: number;
  readonly call: number;
}

export interface LedgerAnswer {
  readonly id: number;
  readonly error?: string;
  readonly happened?: boolean;
  readonly answer?: string | null;
  readonly performances?: readonly Performance[];
}

// ── Ledger and parent, over the channel between them ──

/**
 * `before`: hold the next effect before it is performed; `after`: when it was, before that is
 * acknowledged.
 */
export type HoldAt = 'before' | 'after';

export type ParentToLedger =
  { readonly kind: 'hold'; readonly at: HoldAt } | { readonly kind: 'count' };

export interface LedgerCounts {
  /** Effects performed, since the ledger began. */
  readonly performed: number;
  /** Calls of idempotent tools that the ledger answered from what it had done before. */
  readonly deduplicated: number;
  readonly lookUps: number;
  readonly probes: number;
}

export type LedgerToParent =
  | { readonly kind: 'ready' }
  | { readonly kind: 'held'; readonly at: HoldAt }
  | { readonly kind: 'failed'; readonly message: string }
  | ({ readonly kind: 'counts' } & LedgerCounts);

// ── Driver to parent ──

export interface PlaceOfPool {
  readonly medium: Medium;
  readonly class: DurabilityClass;
  readonly reason: string;
}

export type DriverToParent =
  | { readonly kind: 'opening' }
  /** `continued`: the pool already held something of this recording. */
  | ({ readonly kind: 'opened'; readonly continued: boolean } & PlaceOfPool)
  | {
      readonly kind: 'progress';
      /**
       * For each conversation that went on: its number and how many of its messages are committed.
       */
      readonly reached: readonly (readonly [conversation: number, messages: number])[];
      /** Messages committed by this process since its last report. */
      readonly fresh: number;
      /** How long each commit since the last report took. */
      readonly commitUs: readonly number[];
      /**
       * Once: the wall clock, in milliseconds, when a continued run made its first step of its own.
       */
      readonly continuedAt?: number;
    }
  | { readonly kind: 'unknownOutcome'; readonly conversation: number; readonly message: string }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export interface Verdict {
  readonly conversations: number;
  readonly identical: number;
  readonly messages: number;
  readonly toolCalls: number;
  /**
   * Messages that are missing or differ, and effects whose receipt is there though they were never
   * performed.
   */
  readonly lost: number;
  /** Messages recorded twice, and effects performed more than once. */
  readonly repeated: number;
  /** Intents without a receipt. */
  readonly unknown: number;
  readonly unfinished: number;
  readonly damages: readonly string[];
  /** The first few things that are wrong, in words. */
  readonly findings: readonly string[];
}

export type VerifierToParent =
  | ({ readonly kind: 'opened' } & PlaceOfPool)
  | ({ readonly kind: 'verdict' } & Verdict)
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };
