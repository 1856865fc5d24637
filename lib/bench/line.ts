/**
 * The words of the benchmark: what a driver offers, what a trial measures, what a line of the
 * report says.
 *
 * A line is one trial, in a process of its own. It carries everything needed to doubt it: machine,
 * commit, medium, file system, durability class, and how the driver was told to be durable.
 */
import type { DurabilityClass } from '../types';

export interface StoreFacts {
  /** What the bytes live on: `pmem`, `file`, or what a peer calls it. */
  readonly medium: string;
  /** What an acknowledged commit survives, as configured, on this place. */
  readonly class: DurabilityClass | 'none';
  /** How the driver was told to be durable, in its own words. */
  readonly how: string;
}

/** One open store. A workload uses what is there and calls the rest impossible. */
export interface Store {
  readonly facts: StoreFacts;
  putSync?(key: string, value: Uint8Array): void;
  put?(key: string, value: Uint8Array): Promise<unknown>;
  batchSync?(entries: readonly (readonly [string, Uint8Array])[]): void;
  batch?(entries: readonly (readonly [string, Uint8Array])[]): Promise<unknown>;
  /** Fills quickly, durably at its end; not timed. */
  load?(entries: Iterable<readonly [string, Uint8Array]>): void | Promise<void>;
  /** Bytes of the value; 0 when absent. */
  get?(key: string): number;
  /** Walks `count` entries from `from` and returns the bytes of their keys and values. */
  range?(from: string, count: number): number | Promise<number>;
  /** An agent's steps; see `agent` in workloads.ts. */
  agent?(steps: number): Promise<AgentSteps>;
  /** Keeps a large state of which little changes. */
  saveState?(state: Record<string, string>): void | Promise<void>;
  /** What the store itself counts: barriers, writes, bytes. */
  counts?(): Record<string, number>;
  /**
   * Share of a store of fixed size that live data takes; only where there is a cleaner to measure.
   */
  liveShare?(): number;
  close(): void | Promise<void>;
}

/** An agent's steps, made one by one, or by something that drives itself (a graph). */
export interface AgentSteps {
  /** One step: `message` is new, `messages` all there are, that one included. */
  step?(messages: readonly string[], message: string): Promise<void>;
  /** Makes all steps: `next` gives a step's message, `done` is called when the step is kept. */
  drive?(next: () => string, done: () => void): Promise<void>;
  end(): Promise<void>;
}

export interface OpenWish {
  readonly folder: string;
  readonly medium?: 'auto' | 'pmem' | 'file';
  /** Bytes the store must be able to hold. */
  readonly room: number;
  /** Bytes the store has and may not exceed; only the `cleaner` workload asks for it. */
  readonly fixedSize?: number;
}

export interface Driver {
  readonly name: string;
  open(wish: OpenWish): Store | Promise<Store>;
}

export interface Workload {
  readonly name: string;
  /** What kind of place it runs on, for the report: `pmem`, `disk`, or nothing. */
  readonly on?: string;
  readonly label: string;
  readonly bytes: number;
  readonly keys: number;
  readonly inFlight: number;
  readonly steps: number;
  /** Milliseconds the timed part may take. */
  readonly budgetMs: number;
  /** Bytes of the store, for `cleaner`; it is filled until 85 % of them are live. */
  readonly fixedBytes?: number;
  /** Keys that are overwritten in every round of `space`. */
  readonly overwritten?: number;
}

/**
 * What a trial's process does. `run`: everything in a fresh folder. The rest works on a store that
 * is filled once and used by many trials: `fill`, `use` (measure on it), `age` (overwrite, then be
 * killed with SIGKILL), `open` (measure opening what was left), `count` (make some operations
 * between two marks, for strace).
 */
export type Phase = 'run' | 'fill' | 'use' | 'age' | 'open' | 'count';

/** What a trial process is asked to do. */
export interface TrialOrder {
  readonly driver: string;
  /** The module that exports `driver`. */
  readonly module: string;
  readonly wish: OpenWish;
  readonly workload: Workload;
  readonly phase: Phase;
}

/** What a loop that touches no memory took while a trial was timed (processor.ts). */
export interface ProcessorSpeed {
  /** Which loop: only the same one is comparable. */
  readonly loop: 'JavaScript' | 'C++';
  /** Nanoseconds in the mean; more where the processor was slowed by others. */
  readonly ns: number;
  /** The 5 % quantile. */
  readonly least: number;
}

/** Nanoseconds an operation took. */
export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly least: number;
  readonly samples: number;
  /** Operations per sample: quick ones are timed several at a time. */
  readonly perSample: number;
  /** [share, nanoseconds] pairs for drawing. */
  readonly curve: readonly (readonly [number, number])[];
  readonly processor?: ProcessorSpeed;
}

export interface Measured {
  readonly latency?: Latency;
  /** Operations per second. */
  readonly rate?: number;
  /** Everything that was counted: per operation unless the name says otherwise. */
  readonly counts: Readonly<Record<string, number>>;
  /** [x, y] pairs: for `agent` step against bytes or microseconds. */
  readonly series?: Readonly<Record<string, readonly (readonly [number, number])[]>>;
}

export interface TrialResult extends Measured {
  readonly facts: StoreFacts;
}

/** A driver on a place. */
export interface DriverAt {
  readonly name: string;
  /** How the report calls it on this place. */
  readonly shown: string;
  readonly module: string;
  /** The folder under which its trials make theirs. */
  readonly place: string;
  readonly medium?: OpenWish['medium'];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs no trial process but this; for the native floors and the replay. */
  readonly custom?: (workload: Workload, folder: string) => Promise<TrialResult>;
  /** The same for what is counted, in place of a trial under strace. */
  readonly customCounts?: (workload: Workload, folder: string) => Promise<TrialResult>;
}

/** One comparison: the same workload through several drivers. */
export interface Group {
  readonly workload: Workload;
  readonly drivers: readonly DriverAt[];
  /** Is what it asks of the kernel counted too, once per driver? */
  readonly counted?: boolean;
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** One-minute load when the trial began: above 0 somebody else works here too. */
  readonly load: number;
}

export interface Line {
  readonly workload: string;
  readonly on?: string;
  readonly label: string;
  readonly bytes: number;
  readonly keys: number;
  readonly inFlight: number;
  readonly driver: string;
  readonly place: string;
  readonly fileSystem: string;
  readonly round: number;
  /**
   * Nothing was timed in this trial: it ran under strace, with a counter before libpmem, or under
   * callgrind.
   */
  readonly counted?: boolean;
  /** Milliseconds the whole trial took, its filling included. */
  readonly tookMs?: number;
  readonly commit: string;
  readonly at: string;
  readonly machine: Machine;
  /** Why there is nothing measured, when there is nothing. */
  readonly skipped?: string;
  readonly result?: TrialResult;
}
