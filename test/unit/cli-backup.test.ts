import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';

import { open } from '../../lib/index';
import type { Holdfast } from '../../lib/index';
import { LineImport } from '../../lib/transfer';
import { cli, dist } from '../helpers/cli';
import { scratchFolder } from '../helpers/scratch';

vi.setConfig({ testTimeout: 180_000 }); // many processes are started

const folder = scratchFolder('cli-backup');
let n = 0;
const fresh = (name: string): string => `${folder}/${name}-${n++}`;

function raw(pool: Holdfast): [string, string, string][] {
  return pool
    .keyspaces()
    .flatMap((name) =>
      [
        ...pool.keyspace<Uint8Array, Uint8Array>(name, { key: 'bytes', value: 'bytes' }).range(),
      ].map(([key, value]): [string, string, string] => [
        name,
        Buffer.from(key).toString('hex'),
        Buffer.from(value).toString('hex'),
      ]),
    );
}

async function contents(path: string): Promise<[string, string, string][]> {
  const pool = await open(path, { create: 'never' });
  const all = raw(pool);
  await pool.close();
  return all;
}

/** Every kind of key and value, and those that look like another kind. */
async function make(): Promise<string> {
  const path = fresh('pool');
  const pool = await open(path, { medium: 'file', retain: { bytes: 2 ** 40 } });
  const text = pool.keyspace<string, string>('texts', { value: 'utf8' });
  const texts = [
    '',
    'plain',
    '{"a":1}',
    '{ "a": 1 }',
    '7',
    '7.0',
    'null',
    'ünï',
    'line\nline',
    '\u0001\u0002',
    '"',
    '[]',
    '1e3',
    '\ufeffx',
  ];
  for (const [i, value] of texts.entries()) {
    text.putSync(`t${i}`, value);
  }
  const any = pool.keyspace('any');
  const values: unknown[] = [
    1,
    -1,
    0.5,
    'x',
    null,
    undefined,
    true,
    { a: [1, { b: 'c' }] },
    new Map([[1, 2]]),
    new Date(5),
    5n,
    new Uint8Array([1, 255]),
    NaN,
    { u: undefined },
    'é'.repeat(90),
  ];
  for (const [i, value] of values.entries()) any.putSync(`v${i}`, value);
  const bytes = pool.keyspace<Uint8Array, Uint8Array>('bytes', { key: 'bytes', value: 'bytes' });
  for (let i = 0; i < 256; i++) bytes.putSync(new Uint8Array([i, 255 - i]), new Uint8Array([i]));
  bytes.putSync(
    new Uint8Array([1, 2, 3]),
    new Uint8Array(3_500_000).map((_, i) => i * 7),
  );
  pool.keyspace('numbers', { key: 'uint64', value: 'json' }).putSync(5, { n: 1 });
  await pool.close();
  return path;
}

describe('export and import', () => {
  test.each(['jsonl', 'binary'])('%s gives the same bytes back', async (format) => {
    const path = await make();
    const file = fresh('export');
    const told = await cli(['export', path, file, '--format', format, '--json']);
    expect(told.code, told.stderr).toBe(0);
    const before = await contents(path);
    expect(JSON.parse(told.stdout)).toMatchObject({ file, format, entries: before.length });
    const copy = fresh('copy');
    expect((await cli(['import', copy, file, '--medium', 'file'])).stdout).toContain(
      `${before.length} entries`,
    );
    expect(await contents(copy)).toEqual(before);
    expect(await cli(['import', copy, file])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('ERR_HOLDFAST_EXISTS'),
    });
    expect(await cli(['export', path, file])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('ERR_HOLDFAST_EXISTS'),
    });
  });

  test('lines are for people where the bytes allow it, and the same on stdout', async () => {
    const path = await make();
    const { stdout } = await cli(['export', path]);
    const lines = stdout.trim().split('\n');
    const find = (start: string): string | undefined =>
      lines.find((line) => line.startsWith(start));
    expect(find('{"keyspace":"any","key":"v7"')).toBe(
      '{"keyspace":"any","key":"v7","structured":{"a":[1,{"b":"c"}]}}',
    );
    expect(find('{"keyspace":"any","key":"v8"')).toContain('base64');
    expect(find('{"keyspace":"texts","key":"t1"')).toBe(
      '{"keyspace":"texts","key":"t1","text":"plain"}',
    );
    expect(find('{"keyspace":"texts","key":"t2"')).toBe(
      '{"keyspace":"texts","key":"t2","json":{"a":1}}',
    );
    expect(find('{"keyspace":"texts","key":"t3"')).toBe(
      '{"keyspace":"texts","key":"t3","text":"{ \\"a\\": 1 }"}',
    );
    expect(lines.filter((line) => line.includes('"more":true')).length).toBe(3);
  });

  test('a line ends at a line feed only, whatever characters the names, keys and values hold', async () => {
    const path = fresh('pool');
    const pool = await open(path, { medium: 'file' });
    const odd = 'a\u2028b\u2029c\u0085d\r\ne\rf\ufeff';
    pool.keyspace<string, string>(odd, { value: 'utf8' }).putSync(odd, odd);
    pool.keyspace(`json ${odd}`, { value: 'json' }).putSync(odd, { [odd]: [odd] });
    pool.region(odd, { size: 8 });
    await pool.close();
    const file = fresh('export');
    expect((await cli(['export', path, file])).code).toBe(0);
    const written = fs.readFileSync(file, 'utf8');
    expect(written).not.toMatch(/[\u2028\u2029]/);
    // As it is, as an older version wrote it, with the line ends of another system, and without the
    // last one.
    const raws = written.replaceAll('\\u2028', '\u2028').replaceAll('\\u2029', '\u2029');
    for (const text of [written, raws, written.replaceAll('\n', '\r\n'), raws.slice(0, -1)]) {
      const [other, copy] = [fresh('lines'), fresh('copy')];
      fs.writeFileSync(other, text);
      expect((await cli(['import', copy, other, '--medium', 'file'])).code).toBe(0);
      expect(await contents(copy)).toEqual(await contents(path));
    }
  });

  test('what is no whole export is refused, and leaves no pool', async () => {
    const path = await make();
    const good = (await cli(['export', path])).stdout.trim().split('\n');
    const wrong: [string, string[]][] = [
      ['NOT_A_BACKUP', []],
      ['CORRUPT', ['hello']],
      ['NOT_A_BACKUP', ['{"a":1}']],
      ['CORRUPT', good.slice(0, -1)],
      ['CORRUPT', [...good.slice(0, 3), ...good.slice(4)]],
      ['CORRUPT', [...good, good[1]!]],
      ['CORRUPT', [good[0]!.replace('"version":1', '"version":2'), ...good.slice(1)]],
      ['CORRUPT', [good[0]!, '{"keyspace":"a","key":"b"}', '{"end":1}']],
      ['CORRUPT', [good[0]!, '{"key":"b","text":"c"}', '{"end":1}']],
      ['CORRUPT', [good[0]!, '{"keyspace":"a","key":"b","base64":"?"}', '{"end":1}']],
    ];
    const into = await open(fresh('into'), { medium: 'file' });
    for (const [code, lines] of wrong) {
      const taken = (async () => {
        const lineImport = new LineImport(into);
        for (const line of lines) await lineImport.take(line);
        await lineImport.end();
      })();
      await expect(taken, lines.slice(0, 3).join('|').slice(0, 200)).rejects.toMatchObject({
        code: `ERR_HOLDFAST_${code}`,
      });
    }
    await into.close();
    const to = fresh('none');
    const cut = fresh('cut');
    fs.writeFileSync(cut, good.slice(0, -1).join('\n'));
    expect(await cli(['import', to, cut])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('ERR_HOLDFAST_CORRUPT'),
    });
    expect(await cli(['import', to, fresh('missing')])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('ERR_HOLDFAST_NOT_FOUND'),
    });
    expect(fs.readdirSync(folder).filter((name) => name.startsWith('none'))).toEqual([]);
  });
});

test('backup, an increment after it, and restore to a commit and to a time', async () => {
  const path = await make();
  const full = fresh('full');
  const told = await cli(['backup', path, full, '--json']);
  expect(told.code, told.stderr).toBe(0);
  const { epoch } = JSON.parse(told.stdout) as { epoch: number };
  const pool = await open(path);
  const first = await pool.keyspace('later').put('a', 1);
  const state = raw(pool);
  await pool.keyspace('later').put('b', 2);
  const last = raw(pool);
  await pool.close();
  const more = fresh('more');
  expect((await cli(['backup', path, more, '--after', full])).stdout).toContain(
    `commits since epoch ${epoch}`,
  );
  const one = fresh('one');
  expect((await cli(['restore', one, full, more, '--at', String(first.epoch)])).stdout).toContain(
    `as of epoch ${first.epoch}`,
  );
  expect(await contents(one)).toEqual(state);
  const two = fresh('two');
  expect(
    (await cli(['restore', two, full, more, '--at', '2999-01-01', '--size', '64M', '--json'])).code,
  ).toBe(0);
  expect(await contents(two)).toEqual(last);
  const three = fresh('three');
  expect(await cli(['restore', three, full, '--at', '1'])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('ERR_HOLDFAST_OUT_OF_RANGE'),
  });
  expect(await cli(['restore', three, more])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('ERR_HOLDFAST_BACKUP_MISMATCH'),
  });
  expect(await cli(['restore', one, full])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('ERR_HOLDFAST_EXISTS'),
  });
  expect(await cli(['restore', three, full, '--at', 'soon'])).toMatchObject({ code: 2 });
  expect(await cli(['backup', path, full])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('ERR_HOLDFAST_EXISTS'),
  });
  expect(await cli(['backup', path, fresh('x'), '--after', path])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('ERR_HOLDFAST_NOT_A_BACKUP'),
  });
  expect(fs.existsSync(three)).toBe(false);
});

describe('- stands for stdout and stdin', () => {
  const main = path.join(dist, 'cli', 'main.js');
  const shell = (
    script: string,
    ...args: string[]
  ): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(
      'bash',
      [
        '-c',
        `set -o pipefail; h() { "${process.execPath}" "${main}" "$@"; }; ${script}`,
        'bash',
        ...args,
      ],
      {
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      },
    );

  test('a backup goes through a pipe into another pool', async () => {
    const from = await make();
    const to = fresh('piped');
    const piped = shell('h backup "$1" - | h restore "$2" - --medium file --json', from, to);
    expect(piped.status, piped.stderr).toBe(0);
    expect(await contents(to)).toEqual(await contents(from));
    expect(JSON.parse(piped.stdout)).toMatchObject({
      path: to,
      entries: (await contents(from)).length,
    });
    expect(piped.stderr).toContain('-: '); // what the backup said, beside its bytes
    const json = shell('h backup "$1" - --json > "$2"', from, fresh('stdout'));
    expect(JSON.parse(json.stderr)).toMatchObject({ file: '-', continued: false });
    const lines = fresh('lines');
    expect(shell('h export "$1" - | h import "$2" - --medium file', from, lines).status).toBe(0);
    expect(await contents(lines)).toEqual(await contents(from));
    const binary = fresh('binary');
    expect(
      shell('h export "$1" --format binary | h import "$2" - --medium file', from, binary).status,
    ).toBe(0);
    expect(await contents(binary)).toEqual(await contents(from));
  });

  test('what does not arrive whole is an error at both ends', async () => {
    const from = await make();
    const cut = shell('h backup "$1" - | head -c 200000 > "$2"', from, fresh('cut'));
    expect(cut.status).toBe(3);
    expect(cut.stderr).toContain('ERR_HOLDFAST_IO');
    const none = fresh('none');
    const half = shell(
      'h backup "$1" - 2>/dev/null | head -c 200000 | h restore "$2" - --medium file',
      from,
      none,
    );
    expect(half.stderr).toContain('ERR_HOLDFAST_CORRUPT');
    expect(shell('h restore "$1" - < /dev/null', none).stderr).toContain('ERR_HOLDFAST_');
    expect(shell('h import "$1" - < /dev/null', none).stderr).toContain(
      'ERR_HOLDFAST_NOT_A_BACKUP',
    );
    expect(shell('h restore "$1" - - < /dev/null', none)).toMatchObject({ status: 2 });
    expect(fs.readdirSync(folder).filter((name) => name.startsWith(path.basename(none)))).toEqual(
      [],
    );
    for (const command of [
      'export "$1"',
      'export "$1" --format binary',
      'ls "$1" any --json',
      'info "$1"',
    ]) {
      const full = shell(`h ${command} > /dev/full`, from);
      expect([command, full.status, full.stderr.replace(/ .*/s, '')]).toEqual([
        command,
        3,
        'ERR_HOLDFAST_DISK_FULL:',
      ]);
    }
  });
});

describe('beside the process that writes', () => {
  test('regions are listed, shown and exported', async () => {
    const source = fresh('writer');
    const pool = await open(source, { medium: 'file' });
    await pool.region('counters', { size: 2 ** 30 }).write(2 ** 29, Buffer.from('far in it'));
    await pool.keyspace('k').put('a', 1);
    await pool.fold();
    const listed = await cli(['regions', source, '--json']);
    expect(listed.json<{ regions: object[] }>().regions).toEqual([
      expect.objectContaining({ name: 'counters', size: 2 ** 30 }),
    ]);
    expect(
      (await cli(['regions', source, 'counters', '--offset', String(2 ** 29), '--length', '9']))
        .stdout,
    ).toContain('far in it');
    expect((await cli(['info', source])).stdout).toContain('counters (1.0 GiB)');
    const file = fresh('lines');
    expect((await cli(['export', source, file])).code).toBe(0);
    expect(await cli(['backup', source, fresh('no')])).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('ERR_HOLDFAST_LOCKED'),
    });
    await pool.close();
    const copy = fresh('copy');
    expect((await cli(['import', copy, file, '--medium', 'file'])).code).toBe(0);
    const again = await open(copy);
    expect(Buffer.from(again.region('counters').read(2 ** 29, 9)).toString()).toBe('far in it');
    expect(again.region('counters').nextData(2 ** 29 + 2 ** 20)).toBe(2 ** 30);
    await again.close();
  });

  test('an export does not take what an interrupted backup has left for its own', async () => {
    const source = await make();
    const file = fresh('name');
    fs.writeFileSync(`${file}.partial`, 'of a backup');
    expect((await cli(['export', source, file])).code).toBe(0);
    expect(fs.readFileSync(`${file}.partial`, 'utf8')).toBe('of a backup');
    expect(fs.existsSync(`${file}.exporting`)).toBe(false);
  });
});
