/**
 * A step or a decision: work whose result is kept.
 *
 * A crash before its one commit leaves no trace, and the work is done again; a crash after it
 * leaves the result, and the work is never done again. What `fn` throws is passed on as it is and
 * nothing is recorded.
 */
import type { CommitDurability } from '../types';
import { divergedError, resultError, show } from './diverged';
import { formerHashOf, hashOf } from './hash';
import type { KeptStep } from './kept';
import type { JournalWriter } from './writer';

export interface StepCall<R> {
  readonly kind: 'step' | 'decision';
  readonly name: string;
  readonly occurrence: number;
  readonly within: string;
  /** Absent for a step without arguments. */
  readonly args: readonly [unknown] | undefined;
  readonly durability: CommitDurability | undefined;
  readonly fn: () => R | Promise<R>;
}

export async function callStep<R>(
  writer: JournalWriter,
  call: StepCall<R>,
  kept: KeptStep | undefined,
): Promise<R> {
  const hash = call.args && hashOf(call.args[0]);
  if (kept) {
    compare(writer.run, call, kept, hash);
    return kept.entry.result as R;
  }
  // Before the call, since the call may change what it is given.
  const asked = call.args && { hash, shown: show(call.args[0]) };
  const begun = performance.now();
  const result = await call.fn();
  const entry = {
    kind: call.kind,
    name: call.name,
    occurrence: call.occurrence,
    ...(call.within && { within: call.within }),
    ...asked,
    ms: performance.now() - begun,
    result,
  };
  try {
    await writer.append(entry, { durability: call.durability });
  } catch (error) {
    throw resultError(error, call.kind, call.name);
  }
  return result;
}

function compare(run: string, call: StepCall<unknown>, kept: KeptStep, hash?: string): void {
  if (kept.entry.hash === hash) return;
  if (call.args && kept.entry.hash === formerHashOf(call.args[0])) return;
  const what = `call ${call.occurrence} of ${call.kind} ${JSON.stringify(call.name)}`;
  const recorded = kept.entry.hash === undefined ? 'no arguments' : kept.entry.shown;
  throw divergedError(
    run,
    what,
    recorded ?? `arguments with hash ${kept.entry.hash}`,
    call.args ? show(call.args[0]) : 'no arguments',
  );
}
