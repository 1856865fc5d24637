/**
 * The words of the benchmark: what a driver offers, what a trial measures, what a line of the report says.
 *
 * A line is one trial, in a process of its own. It carries everything needed to doubt it: machine, commit, medium, file
 * system, durability class, and how the driver was told to be durable.
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
  range?(from: string, count: number): number;
  /** An agent's steps; see `agent` in workloads.ts. */
  agent?(): Promise<AgentSteps>;
  /** Keeps a large state of which little changes. */
  saveState?(state: Record<string, string>): void | Promise<void>;
  /** What the store itself counts: barriers, writes, bytes. */
  counts?(): Record<string, number>;
  close(): void | Promise<void>;
}

export interface AgentSteps {
  /** One step: `message` is new, `messages` all there are, that one included. */
  step(messages: readonly string[], message: string): Promise<void>;
  end(): Promise<void>;
}

export interface OpenWish {
  readonly folder: string;
  readonly medium?: 'auto' | 'pmem' | 'file';
  /** Bytes the pool must be able to hold. */
  readonly room: number;
}

export interface Driver {
  readonly name: string;
  open(wish: OpenWish): Store | Promise<Store>;
}

export interface Workload {
  readonly name: string;
  readonly label: string;
  readonly bytes: number;
  readonly keys: number;
  readonly inFlight: number;
  readonly steps: number;
  /** Milliseconds the timed part may take. */
  readonly budgetMs: number;
}

/** What a trial process is asked to do. */
export interface TrialOrder {
  readonly driver: string;
  /** The module that exports `driver`. */
  readonly module: string;
  readonly wish: OpenWish;
  readonly workload: Workload;
  /** For `open`: fill and be killed, or open what was left. */
  readonly phase?: 'fill' | 'open';
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
  readonly label: string;
  readonly bytes: number;
  readonly keys: number;
  readonly inFlight: number;
  readonly driver: string;
  readonly place: string;
  readonly fileSystem: string;
  readonly round: number;
  readonly commit: string;
  readonly at: string;
  readonly machine: Machine;
  /** Why there is nothing measured, when there is nothing. */
  readonly skipped?: string;
  readonly result?: TrialResult;
}
