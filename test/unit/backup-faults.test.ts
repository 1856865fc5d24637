/**
 * What a power cut leaves of a backup's target, at each of its steps, and what becomes of a backup
 * when any of its calls fails.
 *
 * The property, for every state: under its own name the target is not there, or it is whole and
 * restores to the state it was made of; the next backup to the same place succeeds, whatever the
 * cut left under the other name, and restores to the pool's state; a backup that was finished and
 * has been taken elsewhere is not written to any more. And the pool that is backed up is as it was.
 */
import fs from 'node:fs';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';

import { open, restore } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { scratchFolder } from '../helpers/scratch';
import { TargetDisk, type Call, type Failure } from '../helpers/target-disk';

const { disk } = vi.hoisted(() => ({ disk: { current: undefined as TargetDisk | undefined } }));
vi.mock('node:fs/promises', async (original) => {
  const actual = await original<typeof import('node:fs/promises')>();
  const helper =
    await vi.importActual<typeof import('../helpers/target-disk')>('../helpers/target-disk');
  disk.current = new helper.TargetDisk();
  return disk.current.wrap(actual);
});

vi.setConfig({ testTimeout: 120_000 });

const folder = scratchFolder('backup-faults');
const targets = path.join(folder, 'targets');
const after = path.join(folder, 'after');
const statesPerCall = 6;
let pool: Holdfast;
let n = 0;

beforeAll(async () => {
  fs.mkdirSync(targets);
  pool = await open(path.join(folder, 'pool'), { medium: 'file', retain: { bytes: 2 ** 40 } });
  const k = pool.keyspace<string, string>('k', { value: 'utf8' });
  for (let i = 0; i < 400; i++)
    k.putSync(`key/${i}`, `value ${i} `.repeat(300), { durability: 'eventual' });
  await pool.region('r', { size: 100_000 }).write(70_000, Buffer.from('in the region'));
});
afterAll(() => pool.close());

type State = Record<string, string>;

function stateOf(from: Holdfast): State {
  const region = Buffer.from(from.region('r').read()).toString('base64');
  return {
    ...Object.fromEntries(from.keyspace<string, string>('k', { value: 'utf8' }).range()),
    region,
  };
}

async function restored(file: string): Promise<State> {
  const to = path.join(folder, `restored-${n++}`);
  await restore(file, to, { medium: 'file' });
  const copy = await open(to);
  try {
    return stateOf(copy);
  } finally {
    await copy.close();
    fs.rmSync(to);
  }
}

function change(): void {
  pool
    .keyspace<string, string>('k', { value: 'utf8' })
    .putSync(`key/${n % 400}`, `changed ${n++}`, { durability: 'eventual' });
}

/** The calls of one backup into an empty folder, in the order in which they were made. */
async function record(backup: () => Promise<unknown>): Promise<readonly Call[]> {
  disk.current!.watch(targets);
  await backup();
  return disk.current!.calls;
}

function clear(): void {
  disk.current!.watch(targets);
  fs.rmSync(targets, { recursive: true });
  fs.mkdirSync(targets);
}

/** Throws where a state is not as the property says. `made`: what a finished target restores to. */
async function judge(made: State): Promise<{ finished: boolean; continued: boolean }> {
  const target = path.join(after, 'target');
  const finished = fs.existsSync(target);
  const kept = path.join(after, 'kept');
  if (finished) {
    expect(await restored(target)).toEqual(made);
    fs.renameSync(target, kept); // as who archives it: the same file elsewhere
  }
  const before = finished ? fs.readFileSync(kept) : undefined;
  const { continued } = await pool.backup(target);
  expect(await restored(target)).toEqual(stateOf(pool));
  if (before !== undefined) expect(fs.readFileSync(kept).equals(before)).toBe(true);
  expect(fs.readdirSync(after).sort()).toEqual(finished ? ['kept', 'target'] : ['target']);
  return { finished, continued };
}

async function explore(
  calls: readonly Call[],
  made: State,
): Promise<{ states: number; finished: number; continued: number }> {
  const seen = { states: 0, finished: 0, continued: 0 };
  for (let events = 0; events <= calls.length; events++) {
    for (let which = 0; which < statesPerCall; which++) {
      disk.current!.layOut(after, events, which);
      const { finished, continued } = await judge(made);
      seen.states++;
      seen.finished += finished ? 1 : 0;
      seen.continued += continued ? 1 : 0;
    }
  }
  return seen;
}

describe('a power cut', () => {
  test('at any step of a backup: whole, gone on with, or begun anew; and one that is whole is not touched any more', async () => {
    clear();
    const made = stateOf(pool);
    const calls = await record(() => pool.backup(path.join(targets, 'target')));
    expect(calls.filter((call) => call === 'write').length).toBeGreaterThan(3);
    expect(calls.slice(-4)).toEqual(['sync', 'link', 'unlink', 'syncFolder']);
    change();
    const seen = await explore(calls, made);
    expect(seen.finished).toBeGreaterThan(0);
    expect(seen.continued).toBeGreaterThan(seen.states / 6);
    expect((await pool.check()).damages).toEqual([]);
  });

  test('at any step of one that goes on with an interrupted one', async () => {
    clear();
    const target = path.join(targets, 'target');
    await pool.backup(target);
    const whole = fs.readFileSync(target);
    fs.rmSync(target);
    fs.writeFileSync(`${target}.partial`, whole.subarray(0, whole.length * 0.7));
    change();
    const made = stateOf(pool);
    const calls = await record(async () =>
      expect((await pool.backup(target)).continued).toBe(true),
    );
    change();
    const seen = await explore(calls, made);
    expect(seen.finished).toBeGreaterThan(0);
    expect(seen.continued).toBeGreaterThan(seen.states / 2);
  });

  test('control: without the syncs a state is found in which a target has its name and is not whole', async () => {
    clear();
    const made = stateOf(pool);
    const calls = await record(() => pool.backup(path.join(targets, 'target')));
    disk.current!.forgetsSyncs = true;
    await expect(explore(calls, made)).rejects.toThrow();
    disk.current!.forgetsSyncs = false;
  });
});

describe('a call that fails', () => {
  const codeOf: Record<Failure, string> = {
    ENOSPC: 'ERR_HOLDFAST_DISK_FULL',
    EDQUOT: 'ERR_HOLDFAST_DISK_FULL',
    EIO: 'ERR_HOLDFAST_IO',
    short: '',
  };

  test.each(['ENOSPC', 'EDQUOT', 'EIO', 'short'] as const)(
    '%s at every call: said clearly, the pool goes on, and so does the backup',
    async (failure) => {
      clear();
      const calls = await record(() => pool.backup(path.join(targets, 'target')));
      let failed = 0;
      for (let at = 0; at < calls.length; at++) {
        clear();
        disk.current!.fail(at, failure);
        const target = path.join(targets, 'target');
        const outcome = await pool.backup(target).then(
          () => undefined,
          (error: unknown) => error as { code: string; message: string },
        );
        change();
        if (failure === 'short') {
          expect(outcome).toBeUndefined(); // only writes can be short, and those go on
        } else {
          expect(outcome, calls[at]).toMatchObject({
            code: codeOf[failure],
            message: expect.stringContaining(target) as string,
          });
          if (failure === 'EDQUOT') expect(outcome!.message).toContain('Disk quota exceeded');
          failed++;
        }
        // Whatever it left: a target with its name is whole, and one without is made by the next
        // call.
        if (fs.existsSync(target)) {
          expect(['link', 'unlink', 'syncFolder', undefined]).toContain(
            outcome === undefined ? undefined : calls[at],
          );
          await restored(target);
          fs.rmSync(target);
        }
        const { continued } = await pool.backup(target);
        // nothing may be assumed after a failed sync
        if (outcome !== undefined && calls[at] === 'sync') expect(continued).toBe(false);
        expect(await restored(target)).toEqual(stateOf(pool));
        // What is durable at the end is what was read: nothing lost under a failed sync was counted
        // on.
        disk.current!.layOut(after, disk.current!.calls.length, 0);
        expect(await restored(path.join(after, 'target'))).toEqual(stateOf(pool));
      }
      expect(failed).toBe(failure === 'short' ? 0 : calls.length);
      expect((await pool.check()).damages).toEqual([]);
    },
  );
});
