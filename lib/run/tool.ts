/**
 * A tool: a step with an outside effect. Its intent is committed before the call, its receipt after
 * it.
 *
 * A crash leaves nothing (it was never called), an intent (it may have been called: what its safety
 * allows is done on continuation) or a receipt (it was called, and never will be again). A tool
 * that throws leaves its intent too, since an error, a time-out for instance, does not say whether
 * the effect happened; unless the error says so: `neverHappened: true`.
 */
import { HoldfastError, typeError } from '../errors';
import type { ProbeAnswer, ToolContext, ToolOptions, ToolSafety } from '../types';
import type { JournalWriter } from './journal';
import type { KeptTool } from './kept';
import { divergedError, isSame, show } from './diverged';

export interface ToolCall<A, R> {
  readonly run: string;
  readonly name: string;
  readonly occurrence: number;
  readonly args: A;
  readonly fn: (args: A, context: ToolContext) => R | Promise<R>;
  readonly safety: ToolSafety;
  readonly probe: ToolOptions<R>['probe'];
}

export async function callTool<A, R>(
  writer: JournalWriter,
  uid: string,
  call: ToolCall<A, R>,
  kept: KeptTool | undefined,
): Promise<R> {
  if (!kept) {
    const intent = writer.reserve();
    const key = `hf-${uid}-${intent}`;
    await writer.append(
      {
        kind: 'intent',
        at: Date.now(),
        name: call.name,
        occurrence: call.occurrence,
        safety: call.safety,
        key,
        args: call.args,
      },
      intent,
    );
    return attempt(writer, call, intent, { idempotencyKey: key, attempt: 1 });
  }
  if (!isSame(kept.entry.args, call.args)) {
    const what = `call ${call.occurrence} of tool ${JSON.stringify(call.name)}`;
    throw divergedError(call.run, what, show(kept.entry.args), show(call.args));
  }
  if (kept.receipt) return kept.receipt.result as R;
  return goOn(writer, call, kept);
}

/** Continues an intent that has no receipt. */
async function goOn<A, R>(writer: JournalWriter, call: ToolCall<A, R>, kept: KeptTool): Promise<R> {
  const key = kept.entry.key;
  if (call.safety === 'effect' && !kept.neverHappened) {
    const answer = call.probe ? await call.probe(key) : 'unknown';
    if (answer === 'unknown') throw unknownError(call, kept);
    checkAnswer(answer);
    if (answer.happened) {
      await writer.append({
        kind: 'receipt',
        at: Date.now(),
        intent: kept.sequence,
        attempt: kept.attempt,
        ms: 0,
        probed: true,
        result: answer.result,
      });
      return answer.result;
    }
  }
  const next = kept.attempt + 1;
  await writer.append({ kind: 'attempt', at: Date.now(), intent: kept.sequence, attempt: next });
  return attempt(writer, call, kept.sequence, { idempotencyKey: key, attempt: next });
}

async function attempt<A, R>(
  writer: JournalWriter,
  call: ToolCall<A, R>,
  intent: number,
  context: ToolContext,
): Promise<R> {
  const begun = performance.now();
  let result: R;
  try {
    result = await call.fn(call.args, context);
  } catch (error) {
    await recordFailure(writer, intent, context.attempt, error);
    throw error;
  }
  await writer.append({
    kind: 'receipt',
    at: Date.now(),
    intent,
    attempt: context.attempt,
    ms: performance.now() - begun,
    probed: false,
    result,
  });
  return result;
}

async function recordFailure(
  writer: JournalWriter,
  intent: number,
  attempt: number,
  error: unknown,
) {
  const neverHappened =
    typeof error === 'object' &&
    error !== null &&
    (error as { neverHappened?: unknown }).neverHappened === true;
  try {
    await writer.append({
      kind: 'failure',
      at: Date.now(),
      intent,
      attempt,
      neverHappened,
      error: String(error).slice(0, 1000),
    });
  } catch (commitError) {
    // The tool's error is what the caller must see. Without this entry the outcome counts as
    // unknown, which is safe; a pool that can't commit says so at the next step.
    if (!(commitError instanceof HoldfastError)) throw commitError;
  }
}

function checkAnswer(answer: unknown): asserts answer is Exclude<ProbeAnswer<unknown>, 'unknown'> {
  const happened = (answer as { happened?: unknown } | null | undefined)?.happened;
  if (happened === true || happened === false) return;
  throw typeError(
    `a probe answers { happened: true, result }, { happened: false } or 'unknown'; got ${show(answer)}`,
  );
}

function unknownError(
  call: { run: string; name: string; occurrence: number; probe?: unknown },
  kept: KeptTool,
): HoldfastError {
  const why = call.probe ? 'its probe cannot tell' : 'it has no probe to ask';
  return new HoldfastError(
    'ERR_HOLDFAST_OUTCOME_UNKNOWN',
    `run ${JSON.stringify(call.run)}: call ${call.occurrence} of tool ${JSON.stringify(call.name)} was begun ` +
      `(attempt ${kept.attempt}, idempotency key ${kept.entry.key}) and has no receipt, ` +
      `and ${why}. Nothing was called. ` +
      'Give the tool a probe, or declare it idempotent if calling it twice with one key has one effect',
  );
}
