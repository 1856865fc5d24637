/** What is left when all runs are finished: their journals, and what became of each call. */
import { inspect } from 'node:util';

import { expect } from 'vitest';

import type { Holdfast, JournalEntry } from '../../../lib/index';
import { all } from '../../unit/support/runs';
import { type Operation, operationsOf, programOf } from './programs';
import type { World } from './world';

const CALLS = ['step', 'decision', 'intent', 'signal', 'wait', 'child', 'version', 'start', 'end'];

const callOf = ({ kind, within, name, occurrence, until, undoes, key }: JournalEntry): string =>
  JSON.stringify([kind, within, name, occurrence, until === undefined, undoes && key]);

/** Of an operation's place in its program the outermost number. */
const placeOf = (at: string): number => Number(at.split('.')[1]);

/** What somebody sees of an entry: its epoch may be known later only. */
export function sightOf({ epoch: _epoch, ...entry }: JournalEntry): string {
  return inspect(entry, { depth: 6, breakLength: Infinity });
}

export async function judge(pool: Holdfast, id: string, world: World, seed: string): Promise<void> {
  const journal = await all(pool.journal(id));
  expect([id, journal[0]?.kind, journal.at(-1)?.kind]).toEqual([id, 'start', 'end']);
  const sequences = journal.map(({ sequence }) => sequence);
  expect([id, sequences]).toEqual([id, [...new Set(sequences)].sort((a, b) => a - b)]);
  const epochs = journal.flatMap(({ epoch }) => (epoch === undefined ? [] : [epoch]));
  expect([id, epochs]).toEqual([id, [...epochs].sort((a, b) => a - b)]);

  // Each call has one entry, each intent one receipt, and its attempts rise.
  const seen = new Set<string>();
  for (const entry of journal) {
    if (!CALLS.includes(entry.kind)) continue;
    if (seen.has(callOf(entry)))
      console.log(inspect(journal, { depth: 4, maxArrayLength: 1000, breakLength: 200 }));
    expect([id, 'twice', seen.has(callOf(entry)) && entry]).toEqual([id, 'twice', false]);
    seen.add(callOf(entry));
  }
  for (const { kind, sequence, name } of journal) {
    if (kind !== 'intent') continue;
    const of = journal.filter(({ intent }) => intent === sequence);
    const receipts = of.filter((entry) => entry.kind === 'receipt');
    const attempts = of.filter((entry) => entry.kind === 'attempt').map(({ attempt }) => attempt);
    expect([id, name, 'receipts', receipts.length > 1]).toEqual([id, name, 'receipts', false]);
    expect([id, attempts]).toEqual([id, [...new Set(attempts)].sort((a, b) => a! - b!)]);
  }

  // A signal is taken once, and in the order in which they came.
  for (const [name, sent] of world.of(id).sent) {
    const taken = journal
      .filter((entry) => entry.kind === 'signal' && entry.name === name)
      .map(({ result }) =>
        sent.findIndex(({ value }) => value.id === (result as { id: string }).id),
      );
    expect([id, name, taken]).toEqual([id, name, [...new Set(taken)].sort((a, b) => a - b)]);
    expect(taken).not.toContain(-1);
    // None that was there was passed over.
    const passed = sent.findIndex(
      ({ landed }, n) => landed && n < (taken.at(-1) ?? 0) && !taken.includes(n),
    );
    expect([id, name, 'passed over', passed]).toEqual([id, name, 'passed over', -1]);
  }

  const { ops, undone } = programOf(seed, id);
  // What goes on beside the code that passed it by may end within a rollback, or behind it.
  const loose = new Set<string>();
  for (const op of operationsOf(ops))
    if (op.kind === 'loose') for (const { at } of operationsOf(op.inner!)) loose.add(at);

  // Within a rollback the last effect is undone first.
  let last = Infinity;
  for (const { kind, undoes } of journal) {
    if (kind === 'rollback') last = Infinity;
    if (kind !== 'intent' || undoes === undefined || id.includes('~') || loose.size > 0) continue;
    expect([id, 'undone in order', Number(undoes) < last]).toEqual([id, 'undone in order', true]);
    last = Number(undoes);
  }

  // Who followed the journal saw what it is.
  for (const entry of journal) {
    const seen = world.of(id).followed.get(entry.sequence);
    if (seen !== undefined) expect([id, seen]).toEqual([id, sightOf(entry)]);
    world.of(id).followed.delete(entry.sequence);
  }
  expect([id, [...world.of(id).followed]]).toEqual([id, []]);

  // What was told is what is recorded.
  const kept = new Map(
    journal
      .filter(({ kind }) => ['step', 'decision', 'signal', 'receipt'].includes(kind))
      .map(({ result }) => [(result as { id?: string } | undefined)?.id, result]),
  );
  const told = world.of(id);
  for (const { kind, at, inner } of operationsOf(ops)) {
    const value = told.values.get(at) as { id: string } | undefined;
    if (['child', 'hand', 'version'].includes(kind) || value === undefined) continue;
    if (!told.shared.has(at) && !id.includes('~')) expect(kept.get(value.id)).toEqual(value);
    for (const key of told.keys.get(at) ?? []) {
      if (kind !== 'tool' || inner || loose.has(at)) continue;
      expect([id, at, world.effects.has(key)]).toEqual([id, at, true]);
      const isUndone = world.undone.has(`${key}-undo`);
      const isBefore = (op: Operation, place: number): boolean =>
        op.kind === 'rollback' && place > placeOf(at);
      const isSure = (op: Operation, place: number): boolean => isBefore(op, place) && !op.caught;
      // What is behind the last rollback stays.
      if (undone || ops.some(isSure)) expect([id, at, key, isUndone]).toEqual([id, at, key, true]);
      else if (!id.includes('~') && !ops.some(isBefore))
        expect([id, at, key, isUndone]).toEqual([id, at, key, false]);
    }
  }
}
