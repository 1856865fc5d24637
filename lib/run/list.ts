/** Runs seen from outside. Looking changes nothing. */
import { typeError } from '../errors';
import { booleanOption, limitOption, optionsObject } from '../options';
import type { RunInfo, RunsOptions } from './types';
import type { PoolCore } from '../types';
import type { RunHeader } from './entries';
import { Holder } from './holder';
import { Journals, waitedFor } from './journals';
import { Candidates } from './candidates';
import { checkIdText, checkRunId } from './keys';
import { checkFormat, firstForm } from './open';
import { isParked } from './park';
import { isRunnable } from './ready';
import { isOfOneRun } from './unreadable';

const STATUSES = ['running', 'waiting', 'finished', 'unreadable', 'runnable', 'parked'] as const;

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
  const open = status === 'running' || status === 'waiting' || status === 'parked';
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
      began: 0,
      ...NOT_DRIVEN,
      fencingToken: 0,
      runnable: false,
    };
  }
}

export function runInfo(pool: PoolCore, id: string): RunInfo | undefined {
  checkRunId(id);
  const journals = Journals.of(pool);
  const header = journals.headers.get(id);
  return header && infoOf(journals, id, header);
}

function has(
  journals: Journals,
  id: string,
  header: RunHeader,
  status: (typeof STATUSES)[number],
): boolean {
  if (status === 'runnable') return isRunnable(journals, id, header);
  if (header.format !== 1) checkFormat(id, header);
  return status === 'parked' ? isParked(header) : header.status === status;
}

function infoOf(journals: Journals, id: string, header: RunHeader): RunInfo {
  const runnable = isRunnable(journals, id, header);
  const first = firstForm(journals, id, header);
  if (first) {
    const fencingToken = first.before.token;
    return { id, ...NOT_DRIVEN, fencingToken, runnable, ...seen(first.header) };
  }
  const driver = journals.drivers.get(id);
  const driven = Holder.of(journals.pool).isAlive(driver, id);
  return {
    id,
    status: header.status,
    driven,
    fencingToken: driver?.token ?? 0,
    began: header.began,
    ...(header.ended !== undefined && { ended: header.ended }),
    ...(header.parent !== undefined && { parent: header.parent }),
    // Of one that does more than wait, and that nobody drives any more, nobody waits.
    waits: (driven ? header.waits : waitedFor(header)) ?? [],
    runnable,
    parked: isParked(header),
    ...(header.failed && { failed: header.failed }),
  };
}

const NOT_DRIVEN = { driven: false, waits: [], parked: false } as const;

function seen({ status, began }: RunHeader): Pick<RunInfo, 'status' | 'began'> {
  return { status, began };
}
