/**
 * What a journal says about each step of a run, looked up by the step's identity: its name and its
 * occurrence.
 */
import type { Entry, IntentEntry, ReceiptEntry, StepEntry } from './entries';

export interface KeptStep {
  readonly kind: 'step';
  readonly entry: StepEntry;
}

export interface KeptTool {
  readonly kind: 'tool';
  readonly entry: IntentEntry;
  readonly sequence: number;
  /** The last attempt that was begun. */
  attempt: number;
  /** That attempt is known to have changed nothing outside. */
  neverHappened: boolean;
  receipt: ReceiptEntry | undefined;
}

export type Kept = KeptStep | KeptTool;

export interface KeptRun {
  readonly steps: Map<string, Kept>;
  /** The number the next entry gets. */
  nextSequence: number;
}

export function identityOf(name: string, occurrence: number): string {
  return `${occurrence} ${name}`;
}

export function gather(journal: Iterable<[sequence: number, entry: Entry]>): KeptRun {
  const run: KeptRun = { steps: new Map(), nextSequence: 0 };
  const tools = new Map<number, KeptTool>();
  for (const [sequence, entry] of journal) {
    run.nextSequence = sequence + 1;
    if (entry.kind === 'start' || entry.kind === 'end') continue;
    if (entry.kind === 'step') {
      run.steps.set(identityOf(entry.name, entry.occurrence), { kind: 'step', entry });
    } else if (entry.kind === 'intent') {
      const tool: KeptTool = {
        kind: 'tool',
        entry,
        sequence,
        attempt: 1,
        neverHappened: false,
        receipt: undefined,
      };
      tools.set(sequence, tool);
      run.steps.set(identityOf(entry.name, entry.occurrence), tool);
    } else {
      const tool = tools.get(entry.intent);
      if (tool) apply(tool, entry);
    }
  }
  return run;
}

function apply(
  tool: KeptTool,
  entry: Exclude<Entry, { kind: 'start' | 'end' | 'step' | 'intent' }>,
) {
  if (entry.kind === 'receipt') tool.receipt = entry;
  else if (entry.kind === 'attempt') {
    tool.attempt = entry.attempt;
    tool.neverHappened = false;
  } else tool.neverHappened = entry.neverHappened;
}
