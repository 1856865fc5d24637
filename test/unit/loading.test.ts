/** An addon that Node.js was told not to load says what it was told, and not to build it anew. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';

import { expect, test } from 'vitest';

const root = path.join(import.meta.dirname, '../..');
const permission = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

function saidUnder(
  flags: readonly string[],
  program = `require(${JSON.stringify(path.join(root, 'dist/index.js'))})`,
): string {
  const ended = spawnSync(process.execPath, [...flags, '-e', program], {
    encoding: 'utf8',
    cwd: root,
  });
  expect(ended.status).toBe(1);
  return (
    /^(?:Uncaught )?Error: The native part of holdfast .*$/mu.exec(ended.stderr)?.[0] ??
    ended.stderr
  );
}

test('--no-addons, in the process and for a worker', () => {
  const said = saidUnder(['--no-addons']);
  expect(said).toContain('--no-addons');
  expect(said).not.toContain('npm rebuild');
  const worker = `new (require('node:worker_threads').Worker)(${JSON.stringify(path.join(root, 'dist/index.js'))}, { execArgv: ['--no-addons'] })`;
  expect(saidUnder([], worker)).toContain('--no-addons');
});

test('the permission model', () => {
  const without = saidUnder([permission, '--allow-fs-read=*']);
  expect(without).toContain('--allow-addons');
  expect(without).not.toContain('npm rebuild');
});

test('one that is not there: build it', () => {
  const elsewhere = `process.env.HOLDFAST_ADDON = 'holdfast_nowhere'; require(${JSON.stringify(path.join(root, 'dist/index.js'))})`;
  expect(saidUnder([], elsewhere)).toContain('npm rebuild holdfast');
});
