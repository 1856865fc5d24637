/**
 * Two processes and their threads work off one queue and are killed again and again: the one that
 * has the pool goes on where the other was killed. Each effect happens once, no job is lost, and
 * none is driven by two at a time.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

import { expect, it } from 'vitest';

import { open } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { live } from './lives';

const folder = scratchFolder('workers');
const JOBS = Number(process.env.HOLDFAST_JOBS ?? 300);
const KILLS = Number(process.env.HOLDFAST_LIVES ?? 8);

it('works off a queue, though its workers are killed', async () => {
  const pool = `${folder}/pool`;
  const ledger = `${folder}/ledger`;
  const given = [pool, ledger, String(JOBS)];
  appendFileSync(ledger, '');
  let killed = 0;
  let done = false;
  const keepAlive = async (): Promise<void> => {
    while (!done) {
      const killAfter = killed < KILLS ? 200 + Math.random() * 800 : undefined;
      const ended = await live('workers.cjs', given, killAfter);
      if (ended === 'DONE') done = true;
      else if (ended === 'KILLED') killed += 1;
      else await pause(20); // the other one has the pool
    }
  };
  await Promise.all([keepAlive(), keepAlive()]);

  const lines = readFileSync(ledger, 'utf8').trimEnd().split('\n');
  const effects = lines.filter((line) => line.startsWith('effect '));
  const ids = Array.from({ length: JOBS }, (_, n) => `job/${String(n).padStart(6, '0')}`);
  expect(effects.map((line) => line.split(' ')[2]).sort()).toEqual(ids);

  const driving = new Map<string, string>();
  for (const line of lines) {
    const [what, token, job] = line.split(' ') as [string, string, string];
    if (what === 'life') driving.clear(); // whoever drove before is dead
    if (what === 'begin') {
      expect(driving.get(job), line).toBeUndefined();
      driving.set(job, token);
    }
    if (what === 'end') {
      expect(driving.get(job), line).toBe(token);
      driving.delete(job);
    }
  }

  const opened = await open(pool);
  expect([...opened.runs({ status: 'finished' })].map(({ id }) => id)).toEqual(ids);
  expect([...opened.keyspace('seeds').keys()]).toEqual(ids); // begun with their runs
  expect(opened.unknownOutcomes()).toEqual([]);
  expect((await opened.check()).damages).toEqual([]);
  await opened.close();
});
