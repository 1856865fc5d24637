/**
 * What a run's journal is made of: shapes only. Every entry is written by one commit and never
 * changed. Times are milliseconds since 1970; durations (`ms`) are milliseconds.
 */
import type { RunStatus, ToolSafety } from '../types';

export const RUN_FORMAT = 1;

/**
 * One per run; every commit of a run requires that it is still as its driver left it. `driver`
 * rises by one whenever somebody begins to drive the run, so a driver that was replaced can record
 * nothing any more.
 */
export interface RunHeader {
  readonly format: number;
  readonly status: RunStatus;
  readonly driver: number;
}

export interface StartEntry {
  readonly kind: 'start';
  readonly at: number;
  /** Random, so that idempotency keys differ between runs of the same id in different pools. */
  readonly uid: string;
  readonly input: unknown;
}

export interface StepEntry {
  readonly kind: 'step';
  readonly at: number;
  readonly name: string;
  /** 1 for the first call under this name. */
  readonly occurrence: number;
  readonly ms: number;
  readonly result: unknown;
}

/** Committed before a tool is called for the first time. */
export interface IntentEntry {
  readonly kind: 'intent';
  readonly at: number;
  readonly name: string;
  readonly occurrence: number;
  readonly safety: ToolSafety;
  readonly key: string;
  readonly args: unknown;
}

/**
 * Committed before a tool is called again. `intent` is the sequence number of the intent, here and
 * below.
 */
export interface AttemptEntry {
  readonly kind: 'attempt';
  readonly at: number;
  readonly intent: number;
  readonly attempt: number;
}

/**
 * Committed when the tool threw. Only `neverHappened` decides anything; the text is for who reads
 * the journal.
 */
export interface FailureEntry {
  readonly kind: 'failure';
  readonly at: number;
  readonly intent: number;
  readonly attempt: number;
  readonly neverHappened: boolean;
  readonly error: string;
}

export interface ReceiptEntry {
  readonly kind: 'receipt';
  readonly at: number;
  readonly intent: number;
  readonly attempt: number;
  readonly ms: number;
  /** The result is the probe's answer, not what the tool returned. */
  readonly probed: boolean;
  readonly result: unknown;
}

export interface EndEntry {
  readonly kind: 'end';
  readonly at: number;
  readonly result: unknown;
}

export type Entry =
  StartEntry | StepEntry | IntentEntry | AttemptEntry | FailureEntry | ReceiptEntry | EndEntry;
