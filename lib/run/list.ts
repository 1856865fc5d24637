/**
 * Runs seen from outside, and handing abandoned ones to whoever is alive. Looking changes nothing.
 */
import { HoldfastError, typeError } from '../errors';
import { booleanOption, limitOption, optionsObject } from '../options';
import type { ClaimOptions, RunInfo, RunsOptions } from './types';
import type { PoolCore } from '../types';
import type { RunHeader } from './entries';
import { Holder } from './holder';
import { Journals } from './journals';
import { Candidates } from './candidates';
import { checkIdText, checkRunId } from './keys';
import { checkFormat, firstForm, openRun } from './open';
import type { DurableRun } from './run';
import { isOfOneRun } from './unreadable';
import { isDue } from './waits';

const STATUSES = ['running', 'waiting', 'finished', 'unreadable', 'runnable'] as const;

export function* listRuns(pool: PoolCore, given?: RunsOptions): IterableIterator<RunInfo> {
  const { prefix, after, status, limit, reverse } = optionsObject(given, 'runs', [
    'prefix',
    'after',
    'status',
    'limit',
    'reverse',
  ]);
  if (status !== undefined && !STATUSES.includes(status))
    throw typeError(`status is one of ${STATUSES.join(', ')}; got ${String(status)}`);
  checkIdText(prefix, 'prefix');
  checkIdText(after, 'after');
  const backwards = booleanOption('reverse', reverse);
  const most = limitOption(limit);
  const journals = Journals.of(pool);
  const behind = after === undefined ? {} : backwards ? { lt: after } : { gt: after };
  const range = { ...behind, ...(prefix !== undefined && { prefix }), reverse: backwards };
  // Only unfinished runs are asked for: their list is as short as it can be.
  const open = status === 'running' || status === 'waiting';
  const ids =
    status === 'runnable'
      ? new Candidates(journals).ids(range)
      : open
        ? journals.open.keys(range)
        : journals.headers.keys(range);
  let count = 0;
  for (const id of ids) {
    if (count >= most) return;
    const info = lookAt(journals, id, status);
    if (info === undefined) continue;
    count += 1;
    yield info;
  }
}

/** Undefined for one that has another status than is asked for, or is gone. */
function lookAt(
  journals: Journals,
  id: string,
  status: RunsOptions['status'],
): RunInfo | undefined {
  try {
    const header = journals.headers.get(id);
    if (header === undefined || (status !== undefined && !has(journals, id, header, status)))
      return undefined;
    return infoOf(journals, id, header);
  } catch (error) {
    if (!isOfOneRun(error)) throw error;
    if (status !== undefined && status !== 'unreadable') return undefined;
    return {
      id,
      status: 'unreadable',
      problem: error.message,
      driven: false,
      fencingToken: 0,
      began: 0,
      waits: [],
    };
  }
}

export function runInfo(pool: PoolCore, id: string): RunInfo | undefined {
  checkRunId(id);
  const journals = Journals.of(pool);
  const header = journals.headers.get(id);
  return header && infoOf(journals, id, header);
}

/** What the last claim of a pool did not come to, so that the next one goes on there. */
const rounds = new WeakMap<Journals, { readonly candidates: Candidates; readonly after: string }>();

/**
 * Begins to drive one runnable run; undefined when there is none. One that cannot be read does not
 * keep the others from being handed out: its error is thrown when there is no other.
 */
export async function claimRun(
  pool: PoolCore,
  given?: ClaimOptions,
): Promise<DurableRun | undefined> {
  const { status, prefix, ...driving } = optionsObject(given, 'claim', [
    'status',
    'prefix',
    'hooks',
    'suspendAfter',
    'compensations',
  ]);
  if (status !== undefined && status !== 'runnable')
    throw typeError(`what can be claimed is 'runnable'; got ${String(status)}`);
  checkIdText(prefix, 'prefix');
  const journals = Journals.of(pool);
  const holder = Holder.of(pool);
  let unreadable: unknown;
  // What is left of the last round first, so that claiming many runs looks at each of them once;
  // then all there are now.
  const left = rounds.get(journals) ?? { candidates: new Candidates(journals), after: undefined };
  for (const round of [left, undefined]) {
    const { candidates, after } = round ?? { candidates: new Candidates(journals) };
    const range = {
      ...(prefix !== undefined && { prefix }),
      ...(after !== undefined && { gt: after }),
    };
    for (const id of candidates.ids(range)) {
      try {
        if (holder.holds(id) || isDriven(journals, id)) continue;
        const header = journals.headers.get(id);
        if (header === undefined || !isReady(journals, id, header)) {
          candidates.strikeOff(id, header);
          continue;
        }
        const run = await openRun(pool, id, driving);
        if (run.status === 'finished') continue; // by another thread, since we looked
        rounds.set(journals, { candidates, after: id });
        return run;
      } catch (error) {
        if (isOfOneRun(error)) unreadable ??= error;
        else if (!(error instanceof HoldfastError) || error.code !== 'ERR_HOLDFAST_RUN_ACTIVE')
          throw error; // somebody else was quicker
      }
    }
    if (after === undefined) break;
  }
  rounds.delete(journals);
  if (unreadable !== undefined) throw unreadable;
  return undefined;
}

function has(
  journals: Journals,
  id: string,
  header: RunHeader,
  status: (typeof STATUSES)[number],
): boolean {
  if (status === 'runnable') return isReady(journals, id, header) && !isDriven(journals, id);
  if (header.format !== 1) checkFormat(id, header);
  return header.status === status;
}

/** May it be claimed, if nobody drives it? */
function isReady(journals: Journals, id: string, header: RunHeader): boolean {
  if (header.format !== 1) checkFormat(id, header);
  if (header.status === 'finished' || header.owner !== undefined) return false;
  return header.status === 'running' || isDue(journals, id, header.waits ?? []);
}

function isDriven(journals: Journals, id: string): boolean {
  return Holder.of(journals.pool).isAlive(journals.drivers.get(id), id);
}

function infoOf(journals: Journals, id: string, header: RunHeader): RunInfo {
  const first = firstForm(journals, id, header);
  if (first)
    return {
      id,
      driven: false,
      fencingToken: first.before.token,
      waits: [],
      ...seen(first.header),
    };
  checkFormat(id, header);
  const driver = journals.drivers.get(id);
  return {
    id,
    status: header.status,
    driven: Holder.of(journals.pool).isAlive(driver, id),
    fencingToken: driver?.token ?? 0,
    began: header.began,
    ...(header.ended !== undefined && { ended: header.ended }),
    ...(header.parent !== undefined && { parent: header.parent }),
    waits: header.waits ?? [],
  };
}

function seen({ status, began }: RunHeader): Pick<RunInfo, 'status' | 'began'> {
  return { status, began };
}
