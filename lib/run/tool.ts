/**
 * A tool: a step with an outside effect. Its intent is committed before the call, its receipt after
 * it.
 *
 * A crash leaves nothing (it was never called), an intent (it may have been called: what its safety
 * allows is done on continuation) or a receipt (it was called, and never will be again). A tool
 * that throws leaves its intent too, since an error, a time-out for instance, does not say whether
 * the effect happened; unless the error says so: `neverHappened: true`. An effect between intent
 * and receipt also has a record in the pool's list of open intents, made and deleted by the same
 * commits, so that unknown outcomes are found without reading journals.
 */
import { abortedError, hasCode, HoldfastError, isConflict, typeError } from '../errors';
import type { ProbeAnswer, ToolContext, ToolOptions, ToolSafety } from './types';
import type { Batch } from '../types';
import { isOver, overError } from './attempts';
import { divergedError, isSame, resultError, show, textOf } from './diverged';
import type { OpenIntent, ReceiptEntry } from './entries';
import { hashOf } from './hash';
import { asideOf, identityOf, inside, scopeWithin } from './identity';
import type { KeptTool } from './kept';
import { keyPrefix } from './keys';
import { ownCopy } from './own-copy';
import { AttemptContext, attemptWithin, backOff, stoppedBy, type Limits } from './retry';
import type { JournalWriter } from './writer';

export interface ToolCall<A, R> {
  readonly run: string;
  readonly name: string;
  readonly occurrence: number;
  readonly within: string;
  readonly args: A;
  readonly fn: (args: A, context: ToolContext) => R | Promise<R>;
  /** Before a further attempt is begun: what goes on within the last one is to record no more. */
  readonly leave?: () => void;
  /**
   * Before `fn` is called once more here: what was called within it since its intent, `intent`, is
   * kept.
   */
  readonly again?: (intent: number) => void;
  readonly safety: ToolSafety;
  readonly probe: ToolOptions<R>['probe'];
  readonly limits: Limits;
  /** There is a way to undo it. */
  readonly compensable?: boolean;
  /** A compensation: of this effect. */
  readonly undoes?: Pick<Called<unknown>, 'intent' | 'key'>;
}

/** How a call came to its end, for who may want to undo it. */
export interface Called<R> {
  readonly result: R;
  readonly intent: number;
  readonly key: string;
  /** 0: called by this run; else by one that this was forked from, so many forks ago. */
  readonly forksAgo: number;
}

/** One call on its way: what does not change from attempt to attempt. */
interface Way<A, R> {
  readonly writer: JournalWriter;
  readonly call: ToolCall<A, R>;
  readonly intent: number;
  readonly key: string;
  /** An attempt was made in this life. */
  called: boolean;
}

export async function callTool<A, R>(
  writer: JournalWriter,
  uid: string,
  call: ToolCall<A, R>,
  kept: KeptTool | undefined,
): Promise<Called<R>> {
  const hash = hashOf(call.args);
  if (!kept) return begin(writer, uid, call, hash);
  const { hash: before } = kept.entry;
  if (before !== hash && !isSame(kept.entry.args, call.args)) {
    const what = `call ${call.occurrence} of tool ${JSON.stringify(call.name)}`;
    throw divergedError(call.run, what, show(kept.entry.args), show(call.args));
  }
  const { key } = kept.entry;
  const way = { writer, call, intent: kept.sequence, key, called: false };
  const result = kept.receipt ? (kept.receipt.result as R) : await goOn(way, kept);
  return { result, intent: way.intent, key, forksAgo: kept.forksAgo };
}

async function begin<A, R>(
  writer: JournalWriter,
  uid: string,
  call: ToolCall<A, R>,
  hash: string,
): Promise<Called<R>> {
  const stopped = stoppedBy(call.limits);
  if (stopped) throw abortedError(stopped, whatOf(call));
  const intent = writer.reserve();
  const key = call.undoes === undefined ? `${keyPrefix(uid)}${intent}` : `${call.undoes.key}-undo`;
  const way = { writer, call, intent, key, called: false };
  await writer.append(
    {
      kind: 'intent',
      name: call.name,
      occurrence: call.occurrence,
      ...(call.within && { within: call.within }),
      ...(call.undoes !== undefined && { undoes: call.undoes.intent }),
      ...(call.compensable && { compensable: true as const }),
      safety: call.safety,
      key,
      hash,
      args: call.args,
    },
    { sequence: intent, also: openIntent(way, 1, 'calling') },
  );
  return { result: await callUntilDone(way, 1), intent, key, forksAgo: 0 };
}

/** Continues an intent that has no receipt. */
async function goOn<A, R>(
  way: Way<A, R>,
  kept: Pick<KeptTool, 'attempt' | 'neverHappened'>,
): Promise<R> {
  const { call, writer, key } = way;
  const resolution = writer.journals.resolutions.get(key);
  if (resolution?.happened) {
    await receipt(way, kept.attempt, 0, 'resolution', resolution.value);
    return resolution.value as R;
  }
  if (call.safety === 'effect' && !kept.neverHappened && !resolution) {
    const answer = await askAgain(way, kept.attempt);
    if (answer === 'unknown') {
      await writer.wait(outcomeOf(way), { outcome: key }, undefined, (batch) =>
        leaveUnknown(way, kept.attempt, batch),
      );
      throw unknownError(call, key, kept.attempt);
    }
    if (answer.happened) {
      await receipt(way, kept.attempt, 0, 'probe', answer.result);
      return answer.result as R;
    }
  }
  return callUntilDone(way, kept.attempt + 1);
}

/** The wait for somebody to say what became of the effect; it is made in the call itself. */
function outcomeOf<A, R>({ call, key }: Way<A, R>): string {
  return `${identityOfCall(call)}\0outcome ${key}`;
}

function identityOfCall(call: { within: string; name: string; occurrence: number }): string {
  return identityOf(call.within, 'step', call.name, call.occurrence);
}

/** The first attempt of all was committed with the intent; each other is before it is made. */
async function callUntilDone<A, R>(way: Way<A, R>, first: number): Promise<R> {
  const { call } = way;
  for (let attempt = first; ; attempt += 1) {
    if (way.called) call.leave?.();
    if (attempt > 1 && !(await mark(way, attempt))) {
      // What became of the last attempt was said beside the probe: that stands.
      await way.writer.journals.pool.settled();
      return goOn(way, { attempt: attempt - 1, neverHappened: false });
    }
    if (way.called) call.again?.(way.intent);
    way.called = true;
    const begun = performance.now();
    let result: R;
    try {
      result = await attemptOnce(way, attempt);
    } catch (error) {
      // A child within it waits, and was closed: so will this run be, and nothing has failed.
      if (hasCode(error, 'ERR_HOLDFAST_SUSPENDED')) throw error;
      const never = saysNeverHappened(error);
      await recordFailure(way, attempt, performance.now() - begun, never, textOf(error));
      const failed = attempt - first + 1;
      if (failed >= call.limits.attempts) throw error;
      const stopped = stoppedBy(call.limits);
      if (stopped)
        throw hasCode(error, 'ERR_HOLDFAST_ABORTED') ? error : abortedError(stopped, whatOf(call));
      if (call.safety === 'effect' && !never) {
        const answer = await ask(way);
        if (answer === 'unknown') throw error;
        if (answer.happened) {
          await receipt(way, attempt, 0, 'probe', answer.result);
          return answer.result as R;
        }
      }
      await backOff(call.limits, failed, whatOf(call), way.writer);
      continue;
    }
    await receipt(way, attempt, performance.now() - begun, 'tool', result);
    return result;
  }
}

async function attemptOnce<A, R>(way: Way<A, R>, attempt: number): Promise<R> {
  const { call, key, writer } = way;
  const stopped = stoppedBy(call.limits);
  // Its intent or its mark was still on its way when another attempt around it was begun.
  if (isOver(writer))
    throw Object.assign(overError(call.run, `tool ${show(call.name)}`), { neverHappened: true });
  if (stopped) throw Object.assign(abortedError(stopped, whatOf(call)), { neverHappened: true });
  const context = new AttemptContext(key, attempt, writer.driver.token);
  const calling = (): R | Promise<R> => call.fn(ownCopy(call.args), context);
  return attemptWithin(call.limits, context, whatOf(call), calling, true);
}

/**
 * False: somebody has just resolved the attempt before, or said while it went on that it happened.
 * That must not be left behind, or it would be taken for this one's.
 */
async function mark<A, R>(way: Way<A, R>, attempt: number): Promise<boolean> {
  const open = openIntent(way, attempt, 'calling');
  const { resolutions } = way.writer.journals;
  const resolved = resolutions.get(way.key);
  if (resolved?.happened) return false;
  const notWaiting = way.writer.stopWaiting(outcomeOf(way));
  const also = (batch: Batch): void => {
    open(batch);
    notWaiting(batch);
    if (resolved) batch.delete(resolutions, way.key);
    else if (isListed(way)) batch.requireAbsent(resolutions, way.key);
  };
  try {
    await way.writer.append({ kind: 'attempt', intent: way.intent, attempt }, { also });
    return true;
  } catch (error) {
    if (!isConflict(error)) throw error;
    return false;
  }
}

async function receipt<A, R>(
  way: Way<A, R>,
  attempt: number,
  ms: number,
  from: ReceiptEntry['from'],
  result: unknown,
): Promise<void> {
  const { intents, resolutions } = way.writer.journals;
  const { key } = way;
  const notWaiting = way.writer.stopWaiting(outcomeOf(way));
  const also = (batch: Batch): void => {
    requireUnsettled(way, attempt, batch);
    if (isListed(way)) batch.delete(intents, key);
    // Somebody may have resolved it beside the probe, or while the lease had lapsed.
    if (from !== 'tool' || resolutions.has(key)) batch.delete(resolutions, key);
    notWaiting(batch);
  };
  const entry = { kind: 'receipt' as const, intent: way.intent, attempt, ms, from, result };
  try {
    await way.writer.append(entry, { also, late: isListed(way) });
  } catch (cause) {
    // The effect happened, but its result can't be kept: it can't be stored, or there is no room
    // for it. That is said where unknown outcomes are looked for.
    const error = resultError(cause, 'tool', way.call.name);
    await recordFailure(way, attempt, ms, false, textOf(error));
    throw error;
  }
}

/** Of what comes late: nothing else became known of that attempt meanwhile. */
function requireUnsettled<A, R>({ call, writer, key }: Way<A, R>, attempt: number, batch: Batch) {
  if (!isOver(writer)) return;
  const { intents, resolutions } = writer.journals;
  const open = intents.get(key);
  if (open?.attempt !== attempt) throw overError(call.run, `the end of tool ${show(call.name)}`);
  batch.requireEqual(intents, key, open).requireAbsent(resolutions, key);
}

/** For a commit of this call: its record in the list of effects without a receipt. */
function openIntent<A, R>(
  way: Way<A, R>,
  attempt: number,
  state: OpenIntent['state'],
  error?: string,
): (batch: Batch) => void {
  if (!isListed(way)) return () => {};
  const record = recordOf(way, attempt, state, error);
  return (batch) => batch.put(way.writer.journals.intents, way.key, record);
}

/** An effect is, and what earlier code called one until it has a receipt. */
function isListed<A, R>({ call, writer, key }: Way<A, R>): boolean {
  return call.safety === 'effect' || writer.journals.intents.has(key);
}

function recordOf<A, R>(
  { call, intent }: Way<A, R>,
  attempt: number,
  state: OpenIntent['state'],
  error?: string,
): OpenIntent {
  return {
    run: call.run,
    sequence: intent,
    name: call.name,
    at: Date.now(),
    attempt,
    state,
    ...(error !== undefined && { error }),
  };
}

/**
 * Nobody is calling it any more, though the run is driven: it is listed, and may be resolved, while
 * its driver lives.
 */
function leaveUnknown<A, R>(way: Way<A, R>, attempt: number, batch: Batch): void {
  const { intents } = way.writer.journals;
  const open = intents.get(way.key);
  if (open?.state !== 'failed')
    batch.put(
      intents,
      way.key,
      open ? { ...open, state: 'failed' } : recordOf(way, attempt, 'failed'),
    );
}

async function recordFailure<A, R>(
  way: Way<A, R>,
  attempt: number,
  ms: number,
  neverHappened: boolean,
  error: string,
): Promise<void> {
  const { intents, resolutions } = way.writer.journals;
  const open = openIntent(way, attempt, 'failed', error);
  const also = (batch: Batch): void => {
    requireUnsettled(way, attempt, batch);
    // Said while it went on, by who took it for dead: it may have happened since.
    if (way.called && resolutions.get(way.key)?.happened === false)
      batch.delete(resolutions, way.key);
    if (neverHappened) batch.delete(intents, way.key);
    else open(batch);
  };
  try {
    await way.writer.append(
      { kind: 'failure', intent: way.intent, attempt, ms, neverHappened, error },
      { also, late: isListed(way) },
    );
  } catch (commitError) {
    // The tool's error is what the caller must see. Without this entry the outcome counts as
    // unknown, which is safe; a pool that can't commit, or a driver that was replaced, says so at
    // the next step.
    if (!(commitError instanceof HoldfastError)) throw commitError;
  }
}

function saysNeverHappened(error: unknown): boolean {
  try {
    return (error as { neverHappened?: unknown } | null | undefined)?.neverHappened === true;
  } catch {
    // It throws when it is asked, so it says nothing.
    return false;
  }
}

/**
 * Of an attempt that an earlier driver made. While the probe fails, the outcome is listed as
 * unknown and may be resolved.
 */
async function askAgain<A, R>(way: Way<A, R>, attempt: number): Promise<ProbeAnswer<R>> {
  try {
    return await ask(way);
  } catch (error) {
    // Once: who asks a probe again and again does not fill the journal with that.
    const said = way.writer.journals.intents.get(way.key)?.state === 'failed';
    if (!said) await recordFailure(way, attempt, 0, false, `its probe failed: ${textOf(error)}`);
    throw error;
  }
}

/**
 * Under the limits of an attempt: a probe that never answers keeps nobody for ever. What it calls
 * of the run it calls anew whenever it is asked.
 */
async function ask<A, R>({ call, key, writer }: Way<A, R>): Promise<ProbeAnswer<R>> {
  const { probe, limits } = call;
  if (!probe) return 'unknown';
  const what = `${whatOf(call)}: its probe`;
  const stopped = stoppedBy(limits);
  if (stopped) throw abortedError(stopped, what);
  const scope = scopeWithin(writer, asideOf(identityOfCall(call), 'probe', ''));
  const context = new AttemptContext(key, 0, writer.driver.token);
  const asking = (): ReturnType<typeof probe> => inside(scope, () => probe(key));
  const answer = await attemptWithin(limits, context, what, asking, false);
  if (answer === 'unknown') return answer;
  const happened = (answer as { happened?: unknown } | null | undefined)?.happened;
  if (happened === true || happened === false) return answer;
  throw typeError(
    `a probe answers { happened: true, result }, { happened: false } or 'unknown'; got ${show(answer)}`,
  );
}

function whatOf(call: { run: string; name: string; occurrence: number }): string {
  return `run ${JSON.stringify(call.run)}: call ${call.occurrence} of tool ${JSON.stringify(call.name)}`;
}

function unknownError(
  call: { run: string; name: string; occurrence: number; probe?: unknown },
  key: string,
  attempt: number,
): HoldfastError {
  const why = call.probe ? 'its probe cannot tell' : 'it has no probe to ask';
  return new HoldfastError(
    'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    `${whatOf(call)} was begun (attempt ${attempt}, idempotency key ${key}) and has no receipt, and ${why}. ` +
      `Nothing was called. Find out whether it happened and say so: pool.resolve('${key}', …) or \`holdfast resolve\`; ` +
      'or give the tool a probe; or declare it idempotent if calling it twice with one key has one effect',
  );
}
