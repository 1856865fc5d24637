/** What a journal says about each call of a run, looked up by the call's identity. */
import type {
  ChildEntry,
  Entry,
  HookEntry,
  IntentEntry,
  ReceiptEntry,
  SignalEntry,
  StepEntry,
  VersionEntry,
  WaitEntry,
} from './entries';
import { identityOf, identityOfUndo } from './identity';

export interface KeptStep {
  readonly kind: 'step' | 'decision';
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

export interface KeptWait {
  readonly kind: 'wait';
  wait: WaitEntry | undefined;
  signal: SignalEntry | undefined;
}

export interface KeptMark {
  readonly kind: 'child' | 'version';
  readonly entry: ChildEntry | VersionEntry;
}

export type Kept = KeptStep | KeptTool | KeptWait | KeptMark;

export interface KeptRun {
  readonly calls: Map<string, Kept>;
  /** Points whose hook came to its end. */
  readonly hooked: Set<string>;
  /** The number the next entry gets. */
  nextSequence: number;
}

export function nothingKept(nextSequence: number): KeptRun {
  return { calls: new Map(), hooked: new Set(), nextSequence };
}

export function pointOf(entry: Pick<HookEntry, 'name' | 'point'>): string {
  return `${entry.name} ${entry.point}`;
}

export function gather(journal: Iterable<[sequence: number, entry: Entry]>): KeptRun {
  const run = nothingKept(0);
  const tools = new Map<number, KeptTool>();
  for (const [sequence, entry] of journal) {
    run.nextSequence = sequence + 1;
    take(run, tools, sequence, entry);
  }
  return run;
}

function take(run: KeptRun, tools: Map<number, KeptTool>, sequence: number, entry: Entry): void {
  switch (entry.kind) {
    case 'step':
    case 'decision':
      run.calls.set(callOf('step', entry), { kind: entry.kind, entry });
      return;
    case 'intent': {
      const tool: KeptTool = {
        kind: 'tool',
        entry,
        sequence,
        attempt: 1,
        neverHappened: false,
        receipt: undefined,
      };
      tools.set(sequence, tool);
      const undone = entry.undoes;
      run.calls.set(undone === undefined ? callOf('step', entry) : identityOfUndo(undone), tool);
      return;
    }
    case 'attempt':
    case 'failure':
    case 'receipt': {
      const tool = tools.get(entry.intent);
      if (!tool) return;
      if (entry.kind === 'receipt') tool.receipt = entry;
      else if (entry.kind === 'failure') tool.neverHappened = entry.neverHappened;
      else {
        tool.attempt = entry.attempt;
        tool.neverHappened = false;
      }
      return;
    }
    case 'wait':
    case 'signal': {
      const sleeps = entry.kind === 'wait' && entry.until !== undefined;
      const identity = callOf(sleeps ? 'sleep' : 'signal', entry);
      const kept = (run.calls.get(identity) as KeptWait | undefined) ?? {
        kind: 'wait',
        wait: undefined,
        signal: undefined,
      };
      if (entry.kind === 'wait') kept.wait = entry;
      else kept.signal = entry;
      run.calls.set(identity, kept);
      return;
    }
    case 'child':
    case 'version':
      run.calls.set(callOf(entry.kind, entry), { kind: entry.kind, entry });
      return;
    case 'hook':
      if (entry.error === undefined) run.hooked.add(pointOf(entry));
      return;
    default:
  }
}

function callOf(
  category: Parameters<typeof identityOf>[1],
  entry: { within?: string; name: string; occurrence: number },
): string {
  return identityOf(entry.within, category, entry.name, entry.occurrence);
}
