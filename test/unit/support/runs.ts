/** A pool of its own for each test of runs, and what those tests have in common. */
import { join } from 'node:path';

import { afterEach, beforeEach, expect } from 'vitest';

import { Journals } from '../../../lib/run/journals';
import {
  open,
  type Holdfast,
  type JournalEntry,
  type OpenOptions,
  type ToolContext,
} from '../../../lib/index';
import { scratchFolder } from '../../helpers/scratch';

export interface RunsBench {
  readonly pool: Holdfast;
  readonly path: string;
  /** As after a crash: closes the pool and opens it anew. */
  again(options?: OpenOptions): Promise<Holdfast>;
  journal(id?: string): Promise<JournalEntry[]>;
  kinds(id?: string): Promise<string[]>;
}

export function runsBench(name: string): RunsBench {
  const folder = scratchFolder(name);
  let number = 0;
  let pool: Holdfast;
  let path = '';
  beforeEach(async () => {
    path = join(folder, `pool-${number++}`);
    pool = await open(path, { medium: 'file' });
  });
  afterEach(() => pool.close());
  return {
    get pool() {
      return pool;
    },
    get path() {
      return path;
    },
    async again(options = {}) {
      await pool.close();
      return (pool = await open(path, options));
    },
    async journal(id = 'r') {
      return all(pool.journal(id));
    },
    async kinds(id = 'r') {
      return (await all(pool.journal(id))).map(({ kind }) => kind);
    },
  };
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

export const never = (): never => {
  throw new Error('must not be called');
};

/** Gives the error. */
export async function rejects(action: Promise<unknown>, code: string): Promise<Error> {
  const error: unknown = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toMatchObject({ code });
  return error as Error;
}

/** Counts from now on how many runs' headers are looked at one by one. */
export function countLooks(pool: Holdfast): () => number {
  const { headers } = Journals.of(pool);
  const get = headers.get.bind(headers);
  let looks = 0;
  headers.get = (...given: Parameters<typeof get>) => {
    looks += 1;
    return get(...given);
  };
  return () => looks;
}

/** A tool that fails so many times, then gives its attempt. */
export const failing =
  (times: number, error: () => Error) => (_args: unknown, context: ToolContext) => {
    if (context.attempt <= times) throw error();
    return context.attempt;
  };
export const busy = () => new Error('busy');
export const refused = () => Object.assign(new Error('refused'), { neverHappened: true });
