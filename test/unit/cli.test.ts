/** The command line: help, what it prints for people and for programs, and what it ends with. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { beforeAll, describe, expect, test } from 'vitest';

import { harmless } from '../../lib/cli/output';
import { open } from '../../lib/index';
import { cli } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

const folder = scratchFolder('cli');
const path = join(folder, 'some.holdfast');
const commands = [
  ...[
    'demo',
    'replay',
    'info',
    'doctor',
    'ls',
    'get',
    'regions',
    'check',
    'runs',
    'show',
    'timeline',
  ],
  ...[
    'signal',
    'resolve',
    'history',
    'diff',
    'fork',
    'prune',
    'unpark',
    'forget',
    'salvage',
    'resize',
    'bench',
  ],
];

beforeAll(async () => {
  await using pool = await open(path, { medium: 'file' });
  const notes = pool.keyspace('notes');
  for (const name of ['a/1', 'a/2', 'b/1']) await notes.put(name, { name, big: 5n });
  await pool
    .keyspace<Uint8Array, Uint8Array>('raw', { key: 'bytes', value: 'bytes' })
    .put(new Uint8Array([0, 255]), new Uint8Array([1, 0, 254]));
  await pool.keyspace<string, unknown>('settings', { value: 'json' }).put('x', { on: true });
});

describe('help', () => {
  test('lists the commands and the exit codes', async () => {
    const { code, stdout } = await cli(['--help']);
    expect(code).toBe(0);
    for (const name of [...commands, 'Exit codes:', 'NO_COLOR']) expect(stdout).toContain(name);
  });

  test.each(commands)('%s explains itself, with an example', async (name) => {
    const { code, stdout } = await cli([name, '--help']);
    expect([code, /Examples?:\n  \$ /.test(stdout)]).toEqual([0, true]);
    expect(stdout).toContain('--json');
  });

  test("the version is the package's", async () => {
    const { version } = (await import('../../package.json')) as { version: string };
    expect((await cli(['--version'])).stdout.trim()).toBe(version);
  });
});

describe('wrong usage ends with 2 and says what is wrong', () => {
  test.each([
    [['nosuch'], /unknown command 'nosuch'/],
    [['info'], /missing required argument 'pool'/],
    [['info', path, '--nosuch'], /unknown option '--nosuch'/],
    [['replay', 'x.json'], /required option '--pool/],
    [['replay', 'x.json', '--pool', 'p', '--kills', '-1'], /expected a whole number/],
    [
      ['replay', 'x.json', '--pool', 'p', '--medium', 'tape'],
      /Allowed choices are auto, pmem, file/,
    ],
    [['get', path, 'notes', 'a/1', '--as', 'xml'], /Allowed choices are/],
    [['resize', path, 'much'], /expected a size/],
    [['resize', path, '8M', '--one-file', '--directory', 'x'], /cannot be used with/],
    [[], /Usage: holdfast/],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await cli(args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  test('with --json on stdout too', async () => {
    const { code, json, stderr } = await cli(['info', path, '--nosuch', '--json']);
    expect([code, json()]).toEqual([
      2,
      { error: { code: 'ERR_HOLDFAST_INVALID_ARGUMENT', message: "unknown option '--nosuch'" } },
    ]);
    expect(stderr).toMatch('holdfast --help');
  });
});

describe('every command that opens a pool names medium and durability class', () => {
  test.each([
    [['info', path]],
    [['ls', path]],
    [['ls', path, 'notes']],
    [['get', path, 'notes', 'a/1']],
    [['check', path]],
  ])('%j', async (args) => {
    const { code, stdout } = await cli(args);
    expect(code).toBe(0);
    expect(stdout).toMatch(/medium file, durability class (power|process)/);
    // No escape sequences with NO_COLOR.
    expect(stdout).not.toContain('\u001b');
    const json = (await cli([...args, '--json'])).json();
    expect(json).toMatchObject({ path, medium: 'file' });
    expect(JSON.stringify(json['durability'])).toMatch(/power|process/);
  });
});

test('what is saved of a damaged pool goes where it is said', async () => {
  const saved = join(folder, 'saved.holdfast');
  const { code } = await cli(['salvage', path, saved, '--medium', 'file', '--size', '64M']);
  expect(code).toBe(0);
  const { capacityBytes } = (await cli(['info', saved, '--json'])).json<{
    capacityBytes: number;
  }>();
  expect(capacityBytes).toBeLessThanOrEqual(64 * 2 ** 20);
});

test('and so does every command that makes one', async () => {
  const at = (name: string): string => join(folder, name);
  expect((await cli(['backup', path, at('b.hfb')])).code).toBe(0);
  expect((await cli(['export', path, at('e.jsonl')])).code).toBe(0);
  for (const args of [
    ['restore', at('restored'), at('b.hfb')],
    ['import', at('imported'), at('e.jsonl')],
    ['salvage', path, at('salvaged')],
    ['resize', at('restored'), '64M'],
  ]) {
    const { code, stdout } = await cli(args);
    expect([code, /medium file, durability class (power|process)/.test(stdout)], args[0]).toEqual([
      0,
      true,
    ]);
  }
});

describe('ls and get', () => {
  test('keyspaces with their number of keys', async () => {
    expect((await cli(['ls', path, '--json'])).json()['keyspaces']).toEqual([
      { name: 'notes', keys: 3 },
      { name: 'raw', keys: 1 },
      { name: 'settings', keys: 1 },
    ]);
  });

  test('keys by prefix, limit and direction', async () => {
    const keys = async (...args: string[]) =>
      (await cli(['ls', path, 'notes', ...args, '--json'])).json();
    expect(await keys()).toMatchObject({ keys: ['a/1', 'a/2', 'b/1'], more: false });
    expect(await keys('--prefix', 'a/')).toMatchObject({ keys: ['a/1', 'a/2'], more: false });
    expect(await keys('--limit', '1', '--reverse')).toMatchObject({ keys: ['b/1'], more: true });
    expect((await cli(['ls', path, 'notes', '--limit', '2'])).stdout).toMatch(/a\/1\na\/2\n… more/);
  });

  test('values in the form they were written', async () => {
    const value = async (...args: string[]) =>
      (await cli(['get', path, ...args, '--json'])).json()['value'];
    expect(await value('notes', 'a/1')).toEqual({ name: 'a/1', big: '5' });
    expect(await value('settings', 'x')).toEqual({ on: true });
    expect(await value('settings', 'x', '--as', 'utf8')).toBe('{"on":true}');
    expect(await value('raw', '0x00ff', '--as', 'hex')).toBe('0x0100fe');
    expect((await cli(['get', path, 'notes', 'a/1'])).stdout).toContain("{ name: 'a/1', big: 5n }");
    expect((await cli(['ls', path, 'raw'])).stdout).toContain('0x00ff');
  });

  test('a key that is not there ends with 1', async () => {
    const { code, stdout } = await cli(['get', path, 'notes', 'nosuch']);
    expect([code, /no key nosuch in notes/.test(stdout)]).toEqual([1, true]);
    expect((await cli(['get', path, 'notes', 'nosuch', '--json'])).json()).toMatchObject({
      found: false,
    });
  });

  test('a keyspace that is not there is an error, and looking makes none', async () => {
    const { code, stderr } = await cli(['ls', path, 'nosuch']);
    expect([code, /^ERR_HOLDFAST_NOT_FOUND: no keyspace nosuch/.test(stderr)]).toEqual([3, true]);
    expect((await cli(['ls', path])).stdout).not.toContain('nosuch');
  });
});

describe('errors are code: message, and JSON with --json', () => {
  test.each(['info', 'ls', 'check'])('%s of a pool that is not there', async (name) => {
    const { code, stdout, stderr } = await cli([name, join(folder, 'nosuch')]);
    expect([code, stdout]).toEqual([3, '']);
    expect(stderr).toMatch(/^ERR_HOLDFAST_NOT_FOUND: .*nosuch/);
    const json = await cli([name, join(folder, 'nosuch'), '--json']);
    expect([json.code, json.stderr]).toEqual([3, '']);
    expect(json.json()).toMatchObject({ error: { code: 'ERR_HOLDFAST_NOT_FOUND' } });
  });

  test('for people a second line says what to do, for programs there is none', async () => {
    const foreign = join(folder, 'foreign-too');
    writeFileSync(foreign, 'of somebody else');
    const { stderr } = await cli(['info', foreign]);
    expect(stderr).toMatch(/^ERR_HOLDFAST_NOT_A_POOL: .*\n {2}It was not touched\. .*\n$/);
    expect(Object.keys((await cli(['info', foreign, '--json'])).json()['error'] as object)).toEqual(
      ['code', 'message'],
    );
  });

  test('what was looked for and is not there is said, and what there is', async () => {
    expect((await cli(['regions', path, 'nosuch'])).stderr).toMatch(
      /^ERR_HOLDFAST_NOT_FOUND: no region nosuch in .*; there is: none\n/,
    );
    expect((await cli(['diff', path, 'a', 'b'])).stderr).toContain('`holdfast history` list them');
    expect((await cli(['demo', '--folder', join(folder, 'nosuch')])).stderr).toMatch(
      /^ERR_HOLDFAST_NOT_FOUND: no folder can be made in /,
    );
  });

  test('a foreign file and a folder', async () => {
    const foreign = join(folder, 'foreign');
    writeFileSync(foreign, 'x'.repeat(100_000));
    mkdirSync(join(folder, 'sub'), { recursive: true });
    expect((await cli(['info', foreign])).stderr).toMatch(/^ERR_HOLDFAST_NOT_A_POOL/);
    expect((await cli(['info', join(folder, 'sub')])).stderr).toMatch(/^ERR_HOLDFAST_NOT_A_POOL/);
  });

  test('a pool that is in use names the owner to who would change it', async () => {
    await using _pool = await open(path);
    const { code, stderr } = await cli(['signal', path, 'trip', 'go']);
    expect(code).toBe(3);
    expect(stderr).toMatch(new RegExp(`^ERR_HOLDFAST_LOCKED: .*${process.pid}`));
  });

  test('input that is no recording', async () => {
    const input = join(folder, 'input.json');
    writeFileSync(input, '{}');
    const { code, stderr } = await cli(['replay', input, '--pool', join(folder, 'p')]);
    expect([code, /^ERR_HOLDFAST_INVALID_ARGUMENT: .*not an array/.test(stderr)]).toEqual([
      2,
      true,
    ]);
  });
});

test('doctor says what a place offers', async () => {
  const { code, stdout } = await cli(['doctor', folder]);
  expect(code).toBe(0);
  for (const row of [
    'file system',
    'MAP_SYNC',
    'durability class',
    'PMEM_IS_PMEM_FORCE',
    'memmap=',
  ]) {
    expect(stdout).toContain(row);
  }
  const report = (await cli(['doctor', folder, '--json'])).json();
  expect(report).toMatchObject({ place: folder, exists: false, writable: true });
  expect((await cli(['doctor', path, '--json'])).json()).toMatchObject({
    exists: true,
    poolMedium: 'file',
  });
});

test('check finds what was damaged and ends with 1', async () => {
  const damaged = join(folder, 'damaged.holdfast');
  const value = Buffer.alloc(3000, 'findme');
  {
    await using pool = await open(damaged, { medium: 'file' });
    await pool.keyspace<string, Uint8Array>('k', { value: 'bytes' }).put('a', value);
  }
  const { readFileSync } = await import('node:fs');
  const bytes = readFileSync(damaged);
  const at = bytes.indexOf('findmefindme');
  expect(at).toBeGreaterThan(0);
  bytes[at + 100]! ^= 1;
  writeFileSync(damaged, bytes);
  const { code, stdout } = await cli(['check', damaged]);
  expect([code, /damaged /.test(stdout)]).toEqual([1, true]);
  expect((await cli(['check', damaged, '--json'])).json()).toMatchObject({ ok: false });
});

test('what is stored cannot give orders to a terminal', () => {
  const stored = 'a\x1b]0;title\x07b\x1b[2Jc\x9bd\ttab\nline';
  expect(harmless(stored)).toBe('a\\x1b]0;title\\x07b\\x1b[2Jc\\x9bd\ttab\nline');
  expect(harmless('\x1b[32mgreen\x1b[39m')).toBe('\x1b[32mgreen\x1b[39m');
});
