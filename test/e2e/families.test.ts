/**
 * Runs with children and grandchildren, driven by several threads that are killed with their
 * process again and again: all come to their end, whoever waited for whom. Each effect happens
 * once, no two drive the same, and nobody is claimed again and again for nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs';

import { expect, it } from 'vitest';

import { open } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { live } from './lives';

const folder = scratchFolder('families');
const FAMILIES = Number(process.env.HOLDFAST_JOBS ?? 24);
const KILLS = Number(process.env.HOLDFAST_LIVES ?? 5);
const PATIENCE_MS = 120_000;

it('brings families of runs to their end, though their workers are killed', async () => {
  const pool = `${folder}/pool`;
  const ledger = `${folder}/ledger`;
  const given = [pool, ledger, String(FAMILIES)];
  writeFileSync(ledger, '');
  let lives = 1;
  for (; lives <= KILLS; ++lives)
    if ((await live('families.cjs', given, 200 + Math.random() * 500)) === 'DONE') break;
  const last = await live('families.cjs', given, PATIENCE_MS);
  await using opened = await open(pool);
  const left = [...opened.runs()].filter(({ status }) => status !== 'finished');
  expect([last, left]).toEqual(['DONE', []]);

  const lines = readFileSync(ledger, 'utf8').trimEnd().split('\n');
  const of = (kind: string) =>
    lines.filter((line) => line.startsWith(kind)).map((line) => line.split(' ').at(-1)!);
  const ids = [...opened.runs()].map(({ id }) => id);
  expect(of('effect').sort()).toEqual(ids.sort());
  // A run is claimed when it or one of its children goes on, and anew in each life.
  expect(of('claim').length).toBeLessThan(ids.length * (10 + 4 * lives));
  for (const id of ids) {
    const kinds: string[] = [];
    for await (const { kind } of opened.journal(id)) kinds.push(kind);
    expect([id, kinds.at(-1)]).toEqual([id, 'end']);
  }
  expect(opened.unknownOutcomes()).toEqual([]);
  expect((await opened.check()).damages).toEqual([]);
});
