/**
 * Which checkpoints of a thread stay.
 *
 * In each namespace the newest, and with each that stays what it cannot be loaded without: where
 * LangGraph keeps a channel as its changes since a snapshot (delta channels), the checkpoints back
 * to that snapshot; for one of a former format, its parent's writes. The checkpoints of a
 * subgraph's call (its namespace names a task) stay with the checkpoint of the graph that made the
 * call.
 */
import { rangeError, typeError } from '../../errors';
import { olderThanOption } from '../../options';
import type { Checkpoint, CheckpointMetadata } from './types';

/** Which checkpoints of a thread are removed. */
export interface ThreadPruneOptions {
  /** So many of the newest stay, in each namespace. Default and least: 1. */
  keepLast?: number | undefined;
  /** Only those saved before this time, or longer ago than so many milliseconds, are removed. */
  olderThan?: Date | number | undefined;
}

export interface PruneRule {
  readonly keepLast: number;
  /** Milliseconds since 1970. */
  readonly before: number;
}

export interface Candidate {
  readonly namespace: string;
  readonly id: string;
  readonly parent: string | undefined;
  readonly metadata: unknown;
  readonly rootBytes: number;
  /** Reads the whole checkpoint. */
  readonly checkpoint: () => Checkpoint;
}

export function ruleOf({ keepLast = 1, olderThan }: ThreadPruneOptions): PruneRule {
  if (typeof keepLast !== 'number') throw typeError('keepLast is a number');
  if (!Number.isInteger(keepLast) || keepLast < 0)
    throw rangeError(`keepLast is a whole number from 0 up; got ${keepLast}`);
  const before = olderThan === undefined ? Infinity : olderThanOption(olderThan);
  return { keepLast: Math.max(1, keepLast), before };
}

/** Of a thread's checkpoints, in the order of their namespaces and ids, those that stay. */
export function keptOf(all: readonly Candidate[], { keepLast, before }: PruneRule): Set<Candidate> {
  const byName = new Map(all.map((each) => [nameOf(each.namespace, each.id), each]));
  const kept = new Set<Candidate>();
  let behind = 0;
  for (let at = all.length - 1; at >= 0; --at) {
    const each = all[at]!;
    behind = all[at + 1]?.namespace === each.namespace ? behind + 1 : 0;
    if (behind < keepLast || savedAt(each) >= before) kept.add(each);
  }
  for (const each of kept) addNeeded(each, byName, kept);
  for (const each of all) {
    const caller = callerOf(each, byName);
    if (caller !== undefined && !kept.has(caller)) kept.delete(each);
  }
  return kept;
}

/** A Set's iteration goes on with what is added to it, so what these need is looked at in turn. */
function addNeeded(
  each: Candidate,
  byName: ReadonlyMap<string, Candidate>,
  kept: Set<Candidate>,
): void {
  const parent =
    each.parent === undefined ? undefined : byName.get(nameOf(each.namespace, each.parent));
  if (parent === undefined || kept.has(parent)) return;
  const { v, channel_values: values } = each.checkpoint();
  const deltas = (each.metadata as DeltaMetadata | undefined)?.counters_since_delta_snapshot ?? {};
  if (v < 4 || Object.keys(deltas).some((channel) => !Object.hasOwn(values, channel)))
    kept.add(parent);
}

type DeltaMetadata = CheckpointMetadata & {
  counters_since_delta_snapshot?: Record<string, unknown>;
};

/** Of a subgraph's call: the checkpoint of the graph that it was made from. */
function callerOf(
  { namespace, metadata }: Candidate,
  byName: ReadonlyMap<string, Candidate>,
): Candidate | undefined {
  const id: unknown = (metadata as CheckpointMetadata | undefined)?.parents?.[''];
  return namespace.includes(':') && typeof id === 'string' ? byName.get(nameOf('', id)) : undefined;
}

function nameOf(namespace: string, id: string): string {
  return `${namespace}\0${id}`;
}

const timeBased = /^([0-9a-f]{8})-([0-9a-f]{4})-6([0-9a-f]{3})-/;
/** From 1582 on, in steps of 100 ns, to 1970. */
const gregorian = 122_192_928_000_000_000n;

/** When it was saved: LangGraph's ids say so. */
function savedAt({ id, checkpoint }: Candidate): number {
  const found = timeBased.exec(id);
  if (found === null) return Date.parse(checkpoint().ts);
  return Number((BigInt(`0x${found[1]}${found[2]}${found[3]}`) - gregorian) / 10_000n);
}
