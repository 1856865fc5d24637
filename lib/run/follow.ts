/**
 * Reading journals: a page of one, or one as it grows. Reading changes nothing and drives nobody.
 */
import { setTimeout } from 'node:timers/promises';

import { abortedError } from '../errors';
import { booleanOption, limitOption, optionsObject, signalOption, wholeNumber } from '../options';
import type { JournalEntry, JournalOptions } from './types';
import type { PoolCore } from '../types';
import { news } from './bell';
import type { Entry } from './entries';
import { EpochsOf, LOOK_AHEAD } from './epochs';
import { Journals } from './journals';
import { checkRunId } from './keys';
import { noRunError } from './signals';

/** How often a journal that another process writes is looked at. */
const REFRESH_MS = 100;

interface Page {
  readonly entries: JournalEntry[];
  readonly next: number;
  readonly ended: boolean;
}

export async function* journalOf(
  pool: PoolCore,
  id: string,
  given?: JournalOptions,
): AsyncGenerator<JournalEntry, void, undefined> {
  checkRunId(id);
  const options = optionsObject(given, 'a journal', ['from', 'limit', 'follow', 'signal']);
  const signal = signalOption(options.signal);
  const follow = booleanOption('follow', options.follow);
  let left = limitOption(options.limit);
  let from =
    options.from === undefined ? 0 : wholeNumber('from', options.from, 0, Number.MAX_SAFE_INTEGER);
  const journals = Journals.of(pool);
  if (!journals.headers.has(id)) throw noRunError(id);
  while (left > 0) {
    if (signal?.aborted) throw abortedError(signal, `Reading the journal of run ${id}`);
    const over = isOver(journals, id); // looked at first: the end may come in between
    const page = readPage(journals, id, from, Math.min(left, 256));
    yield* page.entries;
    left -= page.entries.length;
    from = page.next;
    if (page.ended) return;
    if (page.entries.length > 0) continue;
    if (!follow || over) return;
    if (pool.readOnly) await refreshed(pool, signal);
    else await news(pool, id, Infinity, signal);
  }
}

/** No entry will come: the end lies before those that were asked for, or the run was deleted. */
function isOver(journals: Journals, id: string): boolean {
  const header = journals.headers.get(id);
  return header === undefined || header.status === 'finished';
}

/** A pool that another process writes to rings no bell here. */
async function refreshed(pool: PoolCore, signal: AbortSignal | undefined): Promise<void> {
  try {
    await setTimeout(REFRESH_MS, undefined, { signal });
  } catch {
    return; // aborted: said by whoever called
  }
  await pool.refresh();
}

function readPage(journals: Journals, id: string, from: number, limit: number): Page {
  const epochs = new EpochsOf(journals, id);
  const entries: [number, Entry][] = [];
  let ahead = 0;
  for (const [sequence, entry] of journals.read(id, from)) {
    epochs.learn(entry.epochs);
    if (entries.length < limit) entries.push([sequence, entry]);
    else if (++ahead >= LOOK_AHEAD) break;
  }
  const last = entries.at(-1);
  return {
    entries: entries.map(([sequence, entry]) => shown(sequence, entry, epochs.of(sequence))),
    next: last ? last[0] + 1 : from,
    ended: last?.[1].kind === 'end',
  };
}

function shown(sequence: number, entry: Entry, epoch: number | undefined): JournalEntry {
  const { epochs: _epochs, ...rest } = entry;
  // An intent is the first attempt.
  const attempt = entry.kind === 'intent' ? { attempt: 1 } : undefined;
  return { sequence, ...rest, ...attempt, ...(epoch !== undefined && { epoch }) };
}
