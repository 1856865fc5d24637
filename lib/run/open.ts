/**
 * Begins a run, or continues it where it stopped.
 *
 * Beginning to drive is itself one commit, under the condition that nobody else did since we
 * looked. A crash before it leaves the run as it was; a crash after it leaves a run whose former
 * driver, should it still be alive somewhere, can record nothing any more. A process that opens a
 * pool after a crash need not wait: the leases of before ended with it.
 */
import { hasCode, HoldfastError, isConflict } from '../errors';
import { optionsObject } from '../options';
import type { Run, RunOptions } from './types';
import type { Batch, CommitReceipt, PoolCore } from '../types';
import { divergedError, isSame, show } from './diverged';
import { RUN_FORMAT, type DriverRecord, type FirstHeader, type RunHeader } from './entries';
import { unwrittenEpochs } from './epochs';
import { forkOfChild } from './fork';
import { Holder } from './holder';
import { checkHooks } from './hooks';
import { Journals } from './journals';
import { gatherAll, nothingKept } from './kept';
import { checkRunId } from './keys';
import { putNewRun } from './new-run';
import { ownCopy } from './own-copy';
import { checkMs } from './retry';
import { checkCompensations } from './rollback';
import { DurableRun, type OpenChild, type ParentOfChild, type RunParts } from './run';
import { JournalWriter } from './writer';

/** What is known of a run before it is driven. */
interface Found {
  readonly header: RunHeader;
  readonly before: DriverRecord;
  /** The header as it is stored, where that is of format 1 and there is no driver record. */
  readonly stored?: RunHeader;
}

type Commit = (fill: (batch: Batch) => void) => Promise<CommitReceipt>;

/** `owner`: an adapter whose run it is, should it begin now. */
export async function openRun(
  pool: PoolCore,
  id: string,
  given?: RunOptions,
  owner?: string,
): Promise<DurableRun> {
  checkRunId(id);
  const options = checkOptions(given);
  const journals = Journals.of(pool);
  const there = lookUp(journals, id);
  const commit: Commit = (fill) => {
    const batch = pool.batch();
    fill(batch);
    return pool.commit(batch);
  };
  let run: DurableRun;
  try {
    run = there
      ? await goOn(journals, id, there, options)
      : await begin(journals, id, options, commit, owner === undefined ? {} : { owner });
  } catch (error) {
    // Deleted since it was looked up: then it begins.
    if (there && !pool.closed && !journals.headers.has(id)) return openRun(pool, id, given, owner);
    throw error;
  }
  return run.begun();
}

/**
 * A child that is in its parent's journal is there too: both begin in one commit. One that is not
 * is that of a run the parent was forked from.
 */
const openChild =
  (journals: Journals): OpenChild =>
  async (id, given, parent): Promise<Run> => {
    const options = checkOptions(given);
    const { writer, name, occurrence, within } = parent;
    const entry = {
      kind: 'child' as const,
      name,
      occurrence,
      ...(within && { within }),
      child: id,
    };
    const there = lookUp(journals, id);
    if (there) {
      if (!parent.recorded) {
        if (there.header.parent !== writer.run) throw notItsChildError(writer.run, id);
        await writer.append(entry);
      }
      return (await goOnWithChild(journals, id, there, options, parent)).begun();
    }
    const forked = parent.recorded && forkOfChild(journals, writer.run, id, parent.recorded);
    if (forked) {
      await writer.append(entry, { also: forked });
      return (await goOn(journals, id, lookUp(journals, id)!, options, parent)).begun();
    }
    const commit: Commit = (fill) => writer.append(entry, { also: fill });
    const made = await begin(journals, id, options, commit, { parent: writer.run }, parent);
    return made.begun();
  };

/** Behind whoever else drives it: what that one leaves is there for the parent. */
async function goOnWithChild(
  journals: Journals,
  id: string,
  there: Found,
  options: RunOptions,
  parent: ParentOfChild,
): Promise<DurableRun> {
  for (let found = there; ;) {
    try {
      return await goOn(journals, id, found, options, parent);
    } catch (error) {
      if (!hasCode(error, 'ERR_HOLDFAST_RUN_ACTIVE')) throw error;
      await parent.untilLeft(error);
    }
    const now = lookUp(journals, id);
    if (!now) throw brokenError(id, 'no longer that');
    found = now;
  }
}

function lookUp(journals: Journals, id: string): Found | undefined {
  // Whatever changes in between is noticed: who takes over requires both as they were.
  const driver = journals.drivers.get(id);
  const header = journals.headers.get(id);
  if (!header) return undefined;
  const first = firstForm(journals, id, header);
  if (first) return first;
  checkFormat(id, header);
  const before = driver ?? journals.drivers.get(id);
  if (!before) throw brokenError(id, 'no driver record beside it');
  return { header, before };
}

/** A run of format 1, seen as one of this format. */
export function firstForm(journals: Journals, id: string, header: RunHeader): Found | undefined {
  if (header.format !== 1) return undefined;
  const { status, driver } = header as unknown as FirstHeader;
  const began = journals.first(id)?.at ?? 0;
  const now: RunHeader = { format: RUN_FORMAT, status, began };
  return { header: now, before: { token: driver, holder: '' }, stored: header };
}

export function checkOptions(given: RunOptions | undefined): RunOptions {
  const options = optionsObject(given, 'a run', [
    'input',
    'hooks',
    'suspendAfter',
    'compensations',
  ]);
  checkHooks(options.hooks);
  checkCompensations(options.compensations);
  if (options.suspendAfter !== undefined) checkMs('suspendAfter', options.suspendAfter, 0);
  return options;
}

async function begin(
  journals: Journals,
  id: string,
  options: RunOptions,
  commit: Commit,
  belongs: Pick<RunHeader, 'parent' | 'owner'>,
  parent?: ParentOfChild,
): Promise<DurableRun> {
  const holder = Holder.of(journals.pool);
  const { input: given } = options;
  const driver: DriverRecord = { token: 1, holder: holder.id, ...drivenBy(parent) };
  let made!: ReturnType<typeof putNewRun>;
  let input: unknown;
  const receipt = await taking(holder, id, driver, () =>
    commit((batch) => {
      made = putNewRun(batch, journals, id, { input: given, driver, ...belongs });
      // As it is recorded, whatever the caller does to it: another life is given that.
      input = ownCopy(given);
      holder.vouch(batch);
    }),
  );
  const { header, start } = made;
  const writer = new JournalWriter(journals, id, driver, header, 1);
  writer.begun(receipt, 0);
  const run = { id, input, continued: false, uid: start.uid, kept: nothingKept(1) };
  return new DurableRun({ ...run, ...ofDriver(journals, options, driver), writer, parent });
}

async function goOn(
  journals: Journals,
  id: string,
  { header, before, stored }: Found,
  options: RunOptions,
  parent?: ParentOfChild,
): Promise<DurableRun> {
  const start = journals.first(id);
  if (start?.kind !== 'start') throw brokenError(id, 'no start');
  if (options.input !== undefined && !isSame(start.input, options.input)) {
    throw divergedError(id, 'its input', show(start.input), show(options.input));
  }
  const continued = before.token > 0 || start.from !== undefined;
  const run = { id, input: start.input, continued, uid: start.uid };
  if (header.status === 'finished') {
    const end = journals.last(id)?.[1];
    if (end?.kind !== 'end') throw brokenError(id, 'no end in its journal');
    const parts = { ...ofDriver(journals, options, before), result: end.result };
    return new DurableRun({ ...run, ...parts, kept: nothingKept(0) });
  }
  const driver = await takeOver(journals, id, { header, before, stored }, parent);
  try {
    // Read only now: since that commit nobody else can add to the journal.
    const kept = gatherAll((run) => journals.read(run), id);
    const unwritten = unwrittenEpochs(journals, id, kept.nextSequence);
    const writer = new JournalWriter(
      journals,
      id,
      driver.record,
      driver.header,
      kept.nextSequence,
      unwritten,
    );
    writer.begun(driver.receipt);
    const parts = ofDriver(journals, options, driver.record);
    return new DurableRun({ ...run, ...parts, kept, writer, parent });
  } catch (error) {
    Holder.of(journals.pool).remove(id, driver.record);
    throw error;
  }
}

async function takeOver(
  journals: Journals,
  id: string,
  { header, before, stored }: Found,
  parent?: ParentOfChild,
): Promise<{ record: DriverRecord; receipt: CommitReceipt; header: RunHeader }> {
  const { pool, drivers, headers } = journals;
  const holder = Holder.of(pool);
  if (holder.isAlive(before, id)) throw activeError(id);
  const token = before.token + 1;
  const record: DriverRecord = { token, holder: holder.id, ...drivenBy(parent) };
  const now = drivenAgain(header, before);
  const batch = pool.batch();
  if (stored) {
    batch.requireEqual(headers, id, stored).requireAbsent(drivers, id);
    batch.put(headers, id, now);
    journals.begins(batch, id);
  } else batch.requireEqual(drivers, id, before).requireEqual(headers, id, header);
  batch.put(drivers, id, record);
  if (header.status === 'waiting') journals.takes(batch, id, header.waits);
  // That waits for it, perhaps, and is looked at while somebody drives it who may die.
  if (!parent) journals.callsParent(batch, header.parent);
  if (header.status === 'waiting' || header.waits || now.failed !== header.failed)
    batch.put(headers, id, now);
  holder.vouch(batch);
  try {
    const receipt = await taking(holder, id, record, () => pool.commit(batch));
    return { record, receipt, header: now };
  } catch (error) {
    // Only its header has changed: its last driver's lease is over, and a commit of it was not.
    const found = hasCode(error, 'ERR_HOLDFAST_RUN_ACTIVE') ? lookUp(journals, id) : undefined;
    if (!found || !isSame(found.before, before) || isSame(found.header, header)) throw error;
    return takeOver(journals, id, found, parent);
  }
}

/** Who drives the parent anew does not come to a child again that was opened in a step. */
function drivenBy(parent: ParentOfChild | undefined): Pick<DriverRecord, 'parent'> {
  return parent && parent.within === '' ? { parent: parent.writer.driver.token } : {};
}

/** What a run waits for is said again when its code asks again. */
function drivenAgain(header: RunHeader, before: DriverRecord): RunHeader {
  const { waits: _waits, parked: _parked, failed, ...rest } = header;
  const now: RunHeader = { ...rest, status: 'running', ...(failed && { failed }) };
  // It was neither closed nor finished. One that only waited did nothing that could have failed.
  const died = before.holder !== '' && header.status === 'running';
  return died ? { ...now, failed: { times: (failed?.times ?? 0) + 1, at: Date.now() } } : now;
}

/** A conflict says that somebody else began to drive at the same time. */
async function taking<T>(
  holder: Holder,
  id: string,
  driver: DriverRecord,
  commit: () => Promise<T>,
): Promise<T> {
  try {
    return await holder.begin(id, driver, commit);
  } catch (error) {
    if (!isConflict(error)) throw error;
    throw activeError(id, error);
  }
}

function ofDriver(journals: Journals, options: RunOptions, driver: DriverRecord) {
  return {
    options,
    fencingToken: driver.token,
    pool: journals.pool,
    openChild: openChild(journals),
    result: undefined,
    writer: undefined,
  } satisfies Partial<RunParts>;
}

export function checkFormat(id: string, header: RunHeader): void {
  if (header.format === RUN_FORMAT) return;
  throw new HoldfastError(
    'ERR_HOLDFAST_NEWER_FORMAT',
    `run ${JSON.stringify(id)} has journal format ${header.format}, this release reads ${RUN_FORMAT}. ` +
      'Use the release of holdfast that wrote it',
  );
}

function activeError(id: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_RUN_ACTIVE',
    `run ${JSON.stringify(id)} is being driven. Finish it or close() it where it is, before it is opened again`,
    { cause },
  );
}

function notItsChildError(parent: string, id: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_EXISTS',
    `run ${JSON.stringify(id)} is there already, and was not begun as a child of ${JSON.stringify(parent)}. Give the child another id`,
  );
}

function brokenError(id: string, what: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CORRUPT',
    `run ${JSON.stringify(id)} has a header but ${what}. Run \`holdfast check\` on the pool`,
  );
}
