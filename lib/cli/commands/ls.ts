/** `holdfast ls`: the keyspaces of a pool, or the keys of one. */
import type { Command } from 'commander';

import { HoldfastError } from '../../errors';
import type { Keyspace, PoolCore } from '../../types';
import { countFromOne } from '../numbers';
import { Output, readable } from '../output';
import { placeOf, withReader } from '../with-pool';

interface LsOptions {
  readonly json?: boolean;
  readonly prefix?: string;
  readonly limit: number;
  readonly reverse?: boolean;
}

export function addLs(program: Command): void {
  program
    .command('ls <pool> [keyspace]')
    .description('list the keyspaces with their number of keys, or the keys of one')
    .option('--prefix <text>', 'only keys that begin with this text')
    .option('--limit <n>', 'at most this many keys', countFromOne, 100)
    .option('--reverse', 'last key first')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast ls ./agent.holdfast\n  $ holdfast ls ./agent.holdfast memory --prefix user/',
    )
    .action(async (path: string, name: string | undefined, options: LsOptions) => {
      const output = new Output(options.json ?? false);
      await withReader(output, path, (pool) =>
        name === undefined ? listKeyspaces(output, pool) : listKeys(output, pool, name, options),
      );
    });
}

/** A keyspace as bytes, if there is one of that name; looking must not make one. */
export function rawKeyspace(pool: PoolCore, name: string): Keyspace<Uint8Array, Uint8Array> {
  if (!pool.keyspaces().includes(name)) {
    const names = pool.keyspaces();
    const users = names.filter((one) => !one.startsWith('holdfast.'));
    const there = users.length > 0 ? users : names;
    throw new HoldfastError(
      'ERR_HOLDFAST_NOT_FOUND',
      `no keyspace ${name} in ${pool.path}; there is: ${there.join(', ') || 'none'}`,
    );
  }
  return pool.keyspace<Uint8Array, Uint8Array>(name, { key: 'bytes', value: 'bytes' });
}

function listKeyspaces(output: Output, pool: PoolCore): void {
  const keyspaces = pool
    .keyspaces()
    .map((name) => ({ name, keys: rawKeyspace(pool, name).count() }));
  output.value({ ...placeOf(pool), keyspaces });
  if (keyspaces.length === 0) output.line('no keyspaces yet');
  else
    output.table(
      ['keyspace', 'keys'],
      keyspaces.map(({ name, keys }) => [name, keys]),
    );
}

function listKeys(output: Output, pool: PoolCore, name: string, options: LsOptions): void {
  const prefix = options.prefix === undefined ? undefined : Buffer.from(options.prefix);
  const keyspace = rawKeyspace(pool, name);
  const { limit, reverse } = options;
  // One more than is shown tells whether there are more.
  const keys = [...keyspace.keys({ prefix, reverse, limit: limit + 1 })].map(readable);
  const more = keys.length > limit;
  output.value({ ...placeOf(pool), keyspace: name, keys: keys.slice(0, limit), more });
  for (const key of keys.slice(0, limit)) output.line(key);
  if (more) output.line(`… more; --limit shows them`);
}
