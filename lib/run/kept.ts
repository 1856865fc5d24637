/** What a journal says about each call of a run, looked up by the call's identity. */
import type {
  ChildEntry,
  Entry,
  HookEntry,
  IntentEntry,
  Place,
  ReceiptEntry,
  RollbackEntry,
  SignalEntry,
  StartEntry,
  StepEntry,
  VersionEntry,
  WaitEntry,
} from './entries';
import { identityOf, isAside, isWithin, nameAside, outerOf } from './identity';

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
  /** See `Called`. */
  readonly forksAgo: number;
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

/** One that came to its end, or failed. */
export interface KeptRollback extends Place {
  /** Identities of the calls that had been recorded when it began. */
  readonly before: ReadonlySet<string>;
  /** Absent: it failed. */
  readonly undone?: readonly string[];
  readonly resumes?: Place;
}

export interface KeptRun {
  readonly calls: Map<string, Kept>;
  /**
   * What was called within calls that have ended. It lies ahead of nobody, but a branch of such a
   * call may go on all the same, and is not to do again what is recorded.
   */
  readonly left: Map<string, Kept>;
  /** Compensations, by the keys of the effects they undo. */
  readonly undos: Map<string, KeptTool>;
  /** Of those that are complete: the identities of the effects' calls. */
  readonly undone: Map<string, string>;
  /** Calls that are not complete, within which some of these were made. */
  readonly begun: Set<string>;
  /**
   * Effects that a rollback has to undo and none has: within completed steps too, and those that a
   * fork shares.
   */
  readonly undoable: KeptTool[];
  /** The earliest first. */
  readonly rollbacks: KeptRollback[];
  /** Points whose hook came to its end. */
  readonly hooked: Set<string>;
  /** How many calls the code has come to in this life. */
  come: number;
  /** The number the next entry gets. */
  nextSequence: number;
  from?: StartEntry['from'];
}

export function nothingKept(nextSequence: number): KeptRun {
  return {
    calls: new Map(),
    left: new Map(),
    undos: new Map(),
    undone: new Map(),
    begun: new Set(),
    undoable: [],
    rollbacks: [],
    hooked: new Set(),
    come: 0,
    nextSequence,
  };
}

export function pointOf(entry: Pick<HookEntry, 'name' | 'point'>): string {
  return `${entry.name} ${entry.point}`;
}

/** With what a fork shares with the run it was forked from. */
export function gatherAll(
  read: (run: string) => Iterable<[sequence: number, entry: Entry]>,
  run: string,
): KeptRun {
  const kept = gatherFrom(read, run, Infinity);
  dropWithin(kept);
  for (const identity of kept.calls.keys()) addBegun(kept, identity);
  return kept;
}

function addBegun({ begun }: KeptRun, identity: string): void {
  for (const outer of outerOf(identity)) begun.add(outer);
}

/** Keeps what was called within a call once more. */
export function keepWithin(kept: KeptRun, within: ReadonlyMap<string, Kept>): void {
  for (const [identity, call] of within) {
    kept.calls.set(identity, call);
    addBegun(kept, identity);
  }
}

/**
 * What is kept of the calls that were made within a tool or a compensation, whose intent is
 * `intent`.
 */
export function gatherWithin(
  read: (run: string, from?: number) => Iterable<[sequence: number, entry: Entry]>,
  run: string,
  intent: number,
  identity: string,
): Map<string, Kept> {
  const own = gather(read(run, intent));
  for (const [, start] of read(run)) {
    if (start.kind === 'start') share(own, start.from, read);
    break;
  }
  const { calls } = own;
  for (const inner of calls.keys()) if (!isWithin(inner, identity)) calls.delete(inner);
  dropWithin(own, identity);
  return calls;
}

/** What a journal says of undoing an effect. */
export function gatherUndo(
  journal: Iterable<[sequence: number, entry: Entry]>,
  key: string,
): KeptTool | undefined {
  return gather(journal).undos.get(key);
}

/** That call has ended, so only a branch of it that goes on may come to what was made within it. */
export function leaveWithin({ calls, left, begun }: KeptRun, identity: string): void {
  if (!begun.delete(identity)) return;
  for (const [inner, call] of calls) {
    if (!isWithin(inner, identity)) continue;
    calls.delete(inner);
    left.set(inner, call);
  }
}

function gatherFrom(
  read: (run: string) => Iterable<[sequence: number, entry: Entry]>,
  run: string,
  upTo: number,
  forksAgo = 0,
): KeptRun {
  const own = gather(until(read(run), upTo), forksAgo);
  share(own, own.from, read, forksAgo);
  settleResumed(own);
  return own;
}

/** One that failed stands where it was made, whoever went on with it later. */
function settleResumed({ rollbacks }: KeptRun): void {
  const own = rollbacks.splice(0);
  for (const rollback of own) {
    const { resumes, undone } = rollback;
    const index = rollbacks.findIndex(
      ({ sequence, forksAgo }) => sequence === resumes?.sequence && forksAgo === resumes.forksAgo,
    );
    const resumed = rollbacks[index];
    if (!resumed) rollbacks.push(rollback);
    else if (undone) rollbacks[index] = { ...resumed, undone };
  }
}

/** Adds what a fork shares with the run it was forked from. */
function share(
  own: KeptRun,
  from: StartEntry['from'],
  read: (run: string) => Iterable<[sequence: number, entry: Entry]>,
  forksAgo = 0,
): void {
  if (!from) return;
  const origin = gatherFrom(read, from.run, from.upTo, forksAgo + 1);
  for (const [identity, kept] of origin.calls)
    if (!isUnderWay(kept) && !own.calls.has(identity)) own.calls.set(identity, kept);
  for (const [key, kept] of origin.undos)
    if (!isUnderWay(kept) && !own.undos.has(key)) own.undos.set(key, kept);
  for (const point of origin.hooked) own.hooked.add(point);
  own.rollbacks.unshift(...origin.rollbacks);
  for (const [key, identity] of origin.undone) own.undone.set(key, identity);
  for (const tool of origin.undoable) addCompensable(own, tool);
}

/** An effect that was under way there is that run's affair; here it is a call of its own. */
function isUnderWay(kept: Kept): boolean {
  return kept.kind === 'tool' && kept.receipt === undefined;
}

/**
 * What was called within a call that is complete: that one gives its result, and nobody asks for
 * these again. So it is of a hook that has ended, and of a probe, which does all anew. What is kept
 * of a compensation is read when it is called once more. `base`: only what lies below it is looked
 * at.
 */
function dropWithin({ calls, hooked }: KeptRun, base = ''): void {
  const isOver = (outer: string): boolean => {
    const kept = calls.get(outer);
    if (kept?.kind === 'tool') return kept.receipt !== undefined;
    if (kept) return kept.kind === 'step' || kept.kind === 'decision';
    const hook = nameAside(outer, 'hook');
    if (hook !== undefined) return isOverHook(hook, hooked);
    return (nameAside(outer, 'probe') ?? nameAside(outer, 'undo')) !== undefined;
  };
  for (const identity of calls.keys()) {
    for (const outer of outerOf(identity)) {
      if (outer.length <= base.length || !isOver(outer)) continue;
      calls.delete(identity);
      break;
    }
  }
}

/** Each life has its own `onStart`. */
function isOverHook(name: string, hooked: ReadonlySet<string>): boolean {
  const point = JSON.parse(name) as string;
  return hooked.has(point) || point.startsWith('onStart ');
}

/** Its points hold identities, and with them zero characters. */
export function hookName(point: string): string {
  return JSON.stringify(point);
}

function* until(journal: Iterable<[number, Entry]>, upTo: number): Iterable<[number, Entry]> {
  for (const pair of journal) {
    if (pair[0] > upTo) return;
    yield pair;
  }
}

/** A journal that is being read. */
interface Gathering {
  readonly run: KeptRun;
  readonly forksAgo: number;
  /** By the sequence of their intents. */
  readonly tools: Map<number, KeptTool>;
  /** The calls that had been recorded when a rollback began that is not over. */
  rolling: ReadonlySet<string> | undefined;
}

function gather(journal: Iterable<[sequence: number, entry: Entry]>, forksAgo = 0): KeptRun {
  const run = nothingKept(0);
  const tools = new Map<number, KeptTool>();
  const gathering: Gathering = { run, forksAgo, tools, rolling: undefined };
  for (const [sequence, entry] of journal) {
    run.nextSequence = sequence + 1;
    take(gathering, sequence, entry);
  }
  for (const tool of tools.values())
    if (tool.entry.compensable && tool.receipt) addCompensable(run, tool);
  return run;
}

function addCompensable({ undos, undone, undoable }: KeptRun, tool: KeptTool): void {
  const { entry } = tool;
  if (undos.get(entry.key)?.receipt) undone.set(entry.key, callOf('step', entry));
  else undoable.push(tool);
}

/**
 * Do calls lie ahead that an earlier life has made, or a rollback? Asked within a step, only what
 * was called within that does: it has not ended, and what was called beside it says nothing of how
 * far it came.
 */
export function liesAhead({ calls, undos }: KeptRun, within: string): boolean {
  if (undos.size > 0 && !isAside(within, 'undo')) return true;
  if (within === '') return calls.size > 0;
  for (const call of calls.keys()) if (isWithin(call, within)) return true;
  return false;
}

interface Effect {
  readonly intent: number;
  readonly forksAgo: number;
}

/** Was that effect begun after this rollback came to its end? */
export function isBehind(effect: Effect, { sequence, forksAgo }: Place): boolean {
  return effect.forksAgo === forksAgo ? effect.intent > sequence : effect.forksAgo < forksAgo;
}

/**
 * The rollback that is come to, if an earlier life has ended it, or has made it in vain: all calls
 * that were recorded before it have been come to again, and none of the effects `come` that is
 * behind it. Takes it away, and those that somebody else made who did not come there through these
 * calls.
 */
export function takeRecorded(
  { rollbacks, calls }: KeptRun,
  come: readonly Effect[],
): KeptRollback | undefined {
  const isPassed = (rollback: KeptRollback): boolean =>
    come.some((effect) => isBehind(effect, rollback));
  while (rollbacks[0] && isPassed(rollbacks[0])) rollbacks.shift();
  const liesAhead = (identity: string): boolean => calls.has(identity);
  return rollbacks[0] && ![...rollbacks[0].before].some(liesAhead) ? rollbacks.shift() : undefined;
}

/** A rollback is complete: what was undone of the calls that the code has come to is behind it. */
export function forgetUndone({ calls, undos, undone }: KeptRun): void {
  for (const [key, identity] of undone) {
    const outer = [...outerOf(identity), identity];
    if (outer.some((call) => calls.has(call))) continue;
    undone.delete(key);
    undos.delete(key);
  }
}

function take(gathering: Gathering, sequence: number, entry: Entry): void {
  const { run, tools, forksAgo } = gathering;
  switch (entry.kind) {
    case 'start':
      run.from = entry.from;
      return;
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
        forksAgo,
      };
      tools.set(sequence, tool);
      if (entry.undoes === undefined) run.calls.set(callOf('step', entry), tool);
      else run.undos.set(String(entry.args), tool);
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
    case 'rollback':
      takeRollback(gathering, sequence, entry);
      return;
    case 'hook':
      if (entry.error === undefined) run.hooked.add(pointOf(entry));
      return;
    default:
  }
}

/** One that was cut off is not kept: whoever comes to it again goes on with it. */
function takeRollback(gathering: Gathering, sequence: number, entry: RollbackEntry): void {
  const { run, forksAgo } = gathering;
  const { undone, error, resumes: place } = entry;
  const isOver = undone !== undefined || error !== undefined;
  // Not what was called aside: nobody may come to that again.
  const before =
    (isOver ? gathering.rolling : undefined) ??
    new Set([...run.calls.keys()].filter((call) => !isAside(call)));
  gathering.rolling = isOver ? undefined : before;
  if (!isOver) return;
  const resumes = place && { ...place, forksAgo: place.forksAgo + forksAgo };
  const last = run.rollbacks.at(-1);
  // Asked for again at once, with no call between: that is the same one.
  if (!resumes && last && !last.undone && last.before.size === before.size) run.rollbacks.pop();
  run.rollbacks.push({ before, sequence, forksAgo, undone, resumes });
}

function callOf(
  category: Parameters<typeof identityOf>[1],
  entry: { within?: string; name: string; occurrence: number },
): string {
  return identityOf(entry.within, category, entry.name, entry.occurrence);
}
