/**
 * Waiting for a signal, or for a moment.
 *
 * That a run waits is an entry and a word in its header, so it waits also when no process is there:
 * whoever looks for runnable runs finds it when what it waits for has come. Taking a signal is one
 * commit: the entry that keeps its value, and the removal of the pending one. A crash before it
 * leaves the signal for the next driver.
 *
 * A run waits when it does nothing else: beside a step or an effect it is a run that has something
 * to do, is not suspended, and is claimed when its driver dies.
 */
import { HoldfastError, isConflict } from '../errors';
import { turn } from '../slices';
import type { Wait } from './types';
import { news } from './bell';
import type { SignalEntry, WaitEntry } from './entries';
import { isDriven } from './holder';
import type { Journals } from './journals';
import type { KeptWait } from './kept';
import { entriesOf, signalsOf, type EntryKey } from './keys';
import type { JournalWriter } from './writer';

/** How soon a wait that is to suspend its run looks whether the calls beside it have ended. */
const LOOK_AGAIN_MS = 20;
const LOOK_FOR_DEATHS_MS = 1000;

export interface WaitCall {
  readonly identity: string;
  readonly name: string;
  readonly occurrence: number;
  readonly within: string;
  readonly kept: KeptWait | undefined;
  /** On the clock of performance.now(): when to give up waiting in this process. */
  readonly suspendAt: number;
  readonly signal: AbortSignal | undefined;
  /** Stops driving the run. */
  readonly suspend: () => void;
}

function firstPending(
  journals: Journals,
  run: string,
  name: string,
): [EntryKey, unknown] | undefined {
  const range = { ...entriesOf(signalsOf(run, name)), limit: 1 };
  for (const entry of journals.signals.range(range)) return entry;
  return undefined;
}

/** Has something come that this run waits for? */
export function isDue(journals: Journals, run: string, waits: readonly Wait[]): boolean {
  return waits.some((wait) => {
    if ('until' in wait) return wait.until <= Date.now();
    if ('outcome' in wait) return journals.resolutions.has(wait.outcome);
    if ('run' in wait) return hasMore(journals, wait.run);
    return firstPending(journals, run, wait.signal) !== undefined;
  });
}

/** Is a child there for its parent to go on with: it has ended, or may be driven? */
function hasMore(journals: Journals, child: string): boolean {
  const header = journals.headers.get(child);
  if (header === undefined || header.status === 'finished') return true;
  if (isDriven(journals, child)) return false;
  return header.status === 'running' || isDue(journals, child, header.waits ?? []);
}

export async function waitForSignal(writer: JournalWriter, call: WaitCall): Promise<unknown> {
  if (call.kept?.signal) return call.kept.signal.result;
  const begun = performance.now();
  let said = call.kept?.wait !== undefined;
  for (;;) {
    const pending = firstPending(writer.journals, writer.run, call.name);
    if (pending) {
      const ms = call.kept?.wait
        ? Math.max(0, Date.now() - call.kept.wait.at)
        : performance.now() - begun;
      if (await take(writer, call, pending, ms)) return pending[1];
    } else if (!writer.activity.isWaiting(call.identity)) {
      await writer.wait(call.identity, { signal: call.name }, said ? undefined : entryOf(call));
      said = true;
      // Once more: it may have come in between.
    } else await untilNews(writer, call, Infinity);
  }
}

/** Until nobody else drives that child. */
export async function waitForOther(
  writer: JournalWriter,
  call: WaitCall,
  child: string,
): Promise<void> {
  while (isDriven(writer.journals, child)) {
    if (!writer.activity.isWaiting(call.identity)) await writer.wait(call.identity, { run: child });
    // That its driver's thread or lease ended is told by nothing.
    else await untilNews(writer, call, LOOK_FOR_DEATHS_MS);
  }
  await writer.noteWaits(call.identity);
}

/**
 * `most`: milliseconds that it takes at most, on the clock that never jumps, so that who sleeps for
 * so long sleeps no longer when the system's clock is set back. When that is set forward the moment
 * has come: so it has for whoever continues the run.
 */
export async function sleepUntil(
  writer: JournalWriter,
  call: WaitCall,
  until: number,
  most: number,
) {
  const end = performance.now() + most;
  const moment = call.kept?.wait?.until ?? until;
  const left = (): number => Math.min(moment - Date.now(), end - performance.now());
  if (!call.kept?.wait) await writer.wait(call.identity, { until: moment }, entryOf(call, moment));
  else if (moment > Date.now()) await writer.wait(call.identity, { until: moment });
  for (let ms = left(); ms > 0; ms = left()) await untilNews(writer, call, ms);
  await writer.noteWaits(call.identity);
}

/** False: somebody else took it, a call beside this one for instance. */
async function take(
  writer: JournalWriter,
  call: WaitCall,
  [key, value]: [EntryKey, unknown],
  ms: number,
): Promise<boolean> {
  const { signals } = writer.journals;
  const notWaiting = writer.stopWaiting(call.identity);
  const entry: Omit<SignalEntry, 'at'> = { kind: 'signal', ...named(call), ms, result: value };
  // No wait begun meanwhile is all that the run does: the code has not heard of this yet.
  const leave = writer.activity.occupy(call.identity);
  try {
    await writer.append(entry, {
      also: (batch) => {
        batch.requirePresent(signals, key).delete(signals, key);
        notWaiting(batch);
      },
    });
    return true;
  } catch (error) {
    if (isConflict(error)) return false;
    throw error;
  } finally {
    leave();
  }
}

async function untilNews(writer: JournalWriter, call: WaitCall, ms: number): Promise<void> {
  let left = call.suspendAt - performance.now();
  // What has come in this turn the code hears first: it may be the answer that ends this wait.
  if (left <= 0) await turn();
  if (left <= 0 && writer.activity.isBusyBeside()) left = LOOK_AGAIN_MS;
  // One that is no longer wanted suspends nobody: `news` says so below.
  if (left <= 0 && !call.signal?.aborted) {
    call.suspend();
    throw new HoldfastError(
      'ERR_HOLDFAST_SUSPENDED',
      `run ${JSON.stringify(writer.run)} waits for ${JSON.stringify(call.name)} and was closed meanwhile. ` +
        'Nothing is wrong: open it again, or pool.claim() it, when that has come',
    );
  }
  try {
    await news(writer.journals.pool, writer.run, Math.min(ms, left), call.signal);
  } catch (error) {
    await waitNoLonger(writer, call);
    throw error;
  }
  writer.mustDrive();
}

/**
 * An aborted wait: the run may do something else now, and should it be abandoned then, who looks
 * for such runs must find it.
 */
async function waitNoLonger(writer: JournalWriter, call: WaitCall): Promise<void> {
  try {
    await writer.noteWaits(call.identity);
  } catch (error) {
    // That it was aborted is what the caller must see. A driver that was replaced or closed says so
    // at the next step.
    if (!(error instanceof HoldfastError)) throw error;
  }
}

function named(call: WaitCall) {
  const { name, occurrence, within } = call;
  return { name, occurrence, ...(within && { within }) };
}

function entryOf(call: WaitCall, until?: number): Omit<WaitEntry, 'at'> {
  return { kind: 'wait', ...named(call), ...(until !== undefined && { until }) };
}
