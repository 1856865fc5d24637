/**
 * A step: work whose result is kept.
 *
 * A crash before its one commit leaves no trace, and the work is done again; a crash after it
 * leaves the result, and the work is never done again. What `fn` throws is passed on as it is and
 * nothing is recorded.
 */
import type { JournalWriter } from './journal';
import type { KeptStep } from './kept';

export async function callStep<R>(
  writer: JournalWriter,
  step: { name: string; occurrence: number; kept: KeptStep | undefined },
  fn: () => R | Promise<R>,
): Promise<R> {
  if (step.kept) return step.kept.entry.result as R;
  const begun = performance.now();
  const result = await fn();
  await writer.append({
    kind: 'step',
    at: Date.now(),
    name: step.name,
    occurrence: step.occurrence,
    ms: performance.now() - begun,
    result,
  });
  return result;
}
