/**
 * Effects that may or may not have happened: which there are, and what somebody found out about
 * them.
 *
 * A resolution is one commit of its own, under the conditions that nothing happened to the call
 * since it was looked at and that nobody resolved it before: the first one stands, the same again
 * changes nothing, another is refused. It becomes a receipt, or another attempt, when the run is
 * driven again; only a driver writes into a journal. Of a finished run nobody makes use of it: then
 * what was unknown is only struck off the list.
 */
import { HoldfastError, isConflict, typeError } from '../errors';
import type { Resolution, UnknownOutcome } from './types';
import type { Batch, CommitReceipt, PoolCore } from '../types';
import { ring } from './bell';
import { isSame, show } from './diverged';
import type { OpenIntent, ResolutionRecord } from './entries';
import { Holder } from './holder';
import { Journals } from './journals';
import { keyPrefix } from './keys';
import { isOfOneRun } from './unreadable';

export function unknownOutcomes(pool: PoolCore): UnknownOutcome[] {
  const journals = Journals.of(pool);
  const found: UnknownOutcome[] = [];
  // By their keys: one that cannot be read hides none behind it.
  for (const id of journals.intents.keys()) {
    const outcome = lookAt(journals, id);
    if (outcome !== undefined) found.push(outcome);
  }
  return found;
}

/**
 * Undefined for one that is known, or is being called. What of it cannot be read is said in its
 * `problem`.
 */
function lookAt(journals: Journals, id: string): UnknownOutcome | undefined {
  let outcome: UnknownOutcome = { id, run: '', tool: '', args: undefined, attempt: 0, since: 0 };
  try {
    const intent = journals.intents.get(id);
    if (intent === undefined || journals.resolutions.has(id)) return undefined;
    const { run, sequence, name: tool, attempt, at: since, error } = intent;
    outcome = { ...outcome, run, tool, attempt, since, ...(error !== undefined && { error }) };
    if (!isUnknown(journals, intent)) return undefined;
    const entry = journals.entries.get({ run, sequence });
    return entry?.kind === 'intent' ? { ...outcome, args: entry.args } : outcome;
  } catch (error) {
    if (!isOfOneRun(error)) throw error;
    return { ...outcome, problem: error.message };
  }
}

export async function resolveOutcome(
  pool: PoolCore,
  id: string,
  resolution: Resolution,
): Promise<CommitReceipt> {
  if (typeof id !== 'string' || id === '') throw typeError('the id of an outcome is its key');
  const record = recordOf(resolution);
  const journals = Journals.of(pool);
  for (;;) {
    const intent = unknownIntent(journals, id);
    const before = journals.resolutions.get(id);
    if (before) mustAgree(id, before, record);
    const { intents, resolutions, headers } = journals;
    const batch = pool.batch().requireEqual(intents, id, intent);
    // What was said before stays as it is, and is durable when this one is: that is all that is
    // asked of it.
    if (before) batch.requirePresent(resolutions, id);
    else if (headers.get(intent.run)?.status === 'finished') batch.delete(intents, id);
    else {
      batch.requireAbsent(resolutions, id).put(resolutions, id, record);
      journals.calls(batch, intent.run);
    }
    try {
      const receipt = await pool.commit(batch);
      ring(intent.run);
      return receipt;
    } catch (error) {
      const conflict = isConflict(error);
      if (!conflict || before || !resolutions.has(id)) throw error;
      // Somebody else resolved it at the same time: what was said is looked at.
    }
  }
}

/**
 * For the commit that ends a run: takes away what is known of its effects. What is unknown stays
 * listed.
 */
export function forgetKnown(journals: Journals, uid: string, batch: Batch): void {
  const { intents, resolutions } = journals;
  const prefix = keyPrefix(uid);
  for (const [key, { state }] of intents.range({ prefix }))
    if (state === 'never' || resolutions.has(key)) batch.delete(intents, key);
  // Some are of effects that came to their end all the same.
  for (const key of resolutions.keys({ prefix })) batch.delete(resolutions, key);
}

function unknownIntent(journals: Journals, id: string): OpenIntent {
  const intent = journals.intents.get(id);
  if (!intent) {
    throw new HoldfastError(
      'ERR_HOLDFAST_NOT_FOUND',
      `there is no unknown outcome ${JSON.stringify(id)}: it was resolved and its run has used the answer, or there never was one. ` +
        'pool.unknownOutcomes() and `holdfast resolve` list those there are',
    );
  }
  if (isUnknown(journals, intent)) return intent;
  const why = intent.state === 'never' ? 'is known never to have happened' : 'is being called now';
  throw new HoldfastError(
    'ERR_HOLDFAST_CONFLICT',
    `the effect with key ${JSON.stringify(id)} ${why}; there is nothing to resolve`,
  );
}

function mustAgree(id: string, before: ResolutionRecord, now: ResolutionRecord): void {
  if (before.happened === now.happened && isSame(before.value, now.value)) return;
  throw new HoldfastError(
    'ERR_HOLDFAST_CONFLICT',
    `the effect with key ${JSON.stringify(id)} was resolved on ${new Date(before.at).toISOString()}: ${said(before)}. ` +
      `That stands, and is not what is said now: ${said(now)}`,
  );
}

function said({ happened, value }: ResolutionRecord): string {
  if (!happened) return 'it never happened';
  return value === undefined ? 'it happened' : `it happened, with the result ${show(value)}`;
}

function isUnknown(journals: Journals, intent: OpenIntent): boolean {
  if (intent.state !== 'calling') return intent.state === 'failed';
  return !Holder.of(journals.pool).isAlive(journals.drivers.get(intent.run), intent.run);
}

function recordOf(resolution: Resolution): ResolutionRecord {
  const at = Date.now();
  if (resolution === 'happened') return { at, happened: true };
  if (resolution === 'never-happened') return { at, happened: false };
  if (typeof resolution === 'object' && resolution !== null && 'value' in resolution)
    return { at, happened: true, value: resolution.value };
  throw typeError(
    `an outcome is resolved as 'happened', 'never-happened' or { value }; got ${show(resolution)}`,
  );
}
