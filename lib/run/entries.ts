/**
 * What a run's journal is made of: shapes only. Every entry is written by one commit and never
 * changed. Times are milliseconds since 1970; durations (`ms`) are milliseconds.
 */
import type { ToolSafety, Wait } from './types';

export const RUN_FORMAT = 2;

/**
 * As of format 1, where the header also said who drives. It becomes format 2 when the run is driven
 * again.
 */
export interface FirstHeader {
  readonly format: 1;
  readonly status: 'running' | 'finished';
  readonly driver: number;
}

/** Sequence number and epoch of entries that could not know their own epoch yet. */
export type Epochs = readonly (readonly [sequence: number, epoch: number])[];

/** One per run. Only its driver writes it. */
export interface RunHeader {
  readonly format: number;
  readonly status: 'running' | 'waiting' | 'finished';
  readonly began: number;
  readonly ended?: number;
  readonly parent?: string;
  /** An adapter that alone drives it: nobody can claim it. */
  readonly owner?: string;
  /** While it is `running` too: then it does something else beside these. */
  readonly waits?: readonly Wait[];
  /**
   * Since its last result it was parked, or its driver died, so often in a row; `at` is the last
   * time. Releases that know nothing of it keep it.
   */
  readonly failed?: { readonly times: number; readonly at: number; readonly error?: string };
  /** It waits because it was parked. */
  readonly parked?: true;
  /** Of the entries behind which no other came. */
  readonly epochs?: Epochs;
}

/**
 * Who drives a run; every commit of a driver requires that this is as it left it. `token` rises by
 * one whenever somebody begins to drive, so a driver that was replaced can record nothing any more.
 * No holder: nobody drives.
 */
export interface DriverRecord {
  readonly token: number;
  readonly holder: string;
  /**
   * Its parent opened it last, as the driver of that token, and has not closed it: each later
   * driver of the parent comes to it again. Older releases leave it out.
   */
  readonly parent?: number;
}

interface Common {
  readonly at: number;
  /** Of earlier entries: an entry is written before its own epoch is known. */
  readonly epochs?: Epochs;
}

/** What the code asks for by name. `within`: the identity of the step it was asked for in. */
export interface Named extends Common {
  readonly name: string;
  /** 1 for the first call under this name in the same step. */
  readonly occurrence: number;
  readonly within?: string;
}

/** Of the arguments: a hash to compare, and a text to show when they differ. */
interface Asked {
  readonly hash?: string;
  readonly shown?: string;
}

export interface StartEntry extends Common {
  readonly kind: 'start';
  /** Random, so that idempotency keys differ between runs of the same id in different pools. */
  readonly uid: string;
  readonly input: unknown;
  /** A fork: the entries of `run` up to this number belong to it too. */
  readonly from?: { readonly run: string; readonly checkpoint: string; readonly upTo: number };
}

export interface StepEntry extends Named, Asked {
  readonly kind: 'step' | 'decision';
  readonly ms: number;
  readonly result: unknown;
}

/** Committed before a tool is called for the first time. */
export interface IntentEntry extends Named {
  readonly kind: 'intent';
  readonly safety: ToolSafety;
  readonly key: string;
  readonly args: unknown;
  /** Of the arguments. Absent in format 1. */
  readonly hash?: string;
  /**
   * A compensation: of the intent with this sequence number, in this run or one it was forked from;
   * `args` is that one's key.
   */
  readonly undoes?: number;
  /** A rollback has to undo it. */
  readonly compensable?: true;
}

/**
 * Committed before a tool is called again. `intent` is the sequence number of the intent, here and
 * below.
 */
export interface AttemptEntry extends Common {
  readonly kind: 'attempt';
  readonly intent: number;
  readonly attempt: number;
}

/**
 * Committed when the tool threw. Only `neverHappened` decides anything; the text is for who reads
 * the journal.
 */
export interface FailureEntry extends Common {
  readonly kind: 'failure';
  readonly intent: number;
  readonly attempt: number;
  readonly ms: number;
  readonly neverHappened: boolean;
  readonly error: string;
}

export interface ReceiptEntry extends Common {
  readonly kind: 'receipt';
  readonly intent: number;
  readonly attempt: number;
  readonly ms: number;
  /** Where the result is from: the tool, its probe, or somebody who resolved the outcome. */
  readonly from: 'tool' | 'probe' | 'resolution';
  readonly result: unknown;
}

export interface CheckpointEntry extends Common {
  readonly kind: 'checkpoint';
  /** Its number among the run's checkpoints. */
  readonly checkpoint: number;
  readonly label?: string;
}

export interface WaitEntry extends Named {
  readonly kind: 'wait';
  /** `sleep`: the moment. A wait without one is for the signal of that name. */
  readonly until?: number;
}

export interface SignalEntry extends Named {
  readonly kind: 'signal';
  /** Time it was waited for. */
  readonly ms: number;
  readonly result: unknown;
}

export interface ChildEntry extends Named {
  readonly kind: 'child';
  readonly child: string;
}

export interface VersionEntry extends Named {
  readonly kind: 'version';
  readonly version: number;
}

/**
 * Committed before the first compensation; with what was undone, when a rollback ended; and with
 * the error, when it failed.
 */
export interface RollbackEntry extends Common {
  readonly kind: 'rollback';
  readonly undone?: readonly string[];
  readonly error?: string;
  /** The entry of the one that failed with which this one went on, in another life. */
  readonly resumes?: Place;
}

/** An entry of this run, or of one that it was forked from, so many forks ago. */
export interface Place {
  readonly sequence: number;
  readonly forksAgo: number;
}

/** How a hook ended. `point` says where it was called. */
export interface HookEntry extends Common {
  readonly kind: 'hook';
  readonly name: string;
  readonly point: string;
  readonly ms: number;
  readonly error?: string;
}

export interface EndEntry extends Common {
  readonly kind: 'end';
  /** Since the run began. */
  readonly ms: number;
  readonly result: unknown;
}

export type Entry =
  | StartEntry
  | StepEntry
  | IntentEntry
  | AttemptEntry
  | FailureEntry
  | ReceiptEntry
  | CheckpointEntry
  | WaitEntry
  | SignalEntry
  | ChildEntry
  | VersionEntry
  | RollbackEntry
  | HookEntry
  | EndEntry;

/**
 * An effect that may have happened and has no receipt; there is one record for each, deleted with
 * the receipt, or when it is known never to have happened.
 */
export interface OpenIntent {
  readonly run: string;
  readonly sequence: number;
  readonly name: string;
  readonly at: number;
  readonly attempt: number;
  /** `never`: the attempt failed and changed nothing. Only in records of earlier builds. */
  readonly state: 'calling' | 'failed' | 'never';
  readonly error?: string;
}

/**
 * What somebody found out about an unknown outcome; the driver makes a receipt of it, or calls
 * again.
 */
export interface ResolutionRecord {
  readonly at: number;
  readonly happened: boolean;
  readonly value?: unknown;
}
