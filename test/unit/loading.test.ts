/**
 * An addon that Node.js was told not to load says what it was told, and not to build it anew. A
 * thread that is ended while it loads one ends alone.
 */
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

// Before it was so, one of the first 40 took the process with it.
test('threads that are ended in the middle of loading', () => {
  const program = `
    const { Worker } = require('node:worker_threads');
    const addon = ${JSON.stringify(path.join(root, 'build/Release/holdfast_file.node'))};
    require(addon);
    const load = "const { parentPort, workerData } = require('node:worker_threads');" +
      "parentPort.postMessage('here'); require(workerData);";
    const one = () => new Promise((ended) => {
      const worker = new Worker(load, { eval: true, workerData: addon });
      worker.once('exit', ended);
      worker.once('message', () => {
        const until = performance.now() + Math.random() * 3;
        while (performance.now() < until);
        worker.terminate();
      });
    });
    (async () => {
      for (let i = 0; i < 75; i++) await Promise.all([one(), one(), one(), one()]);
      console.log('all ended');
    })();`;
  const ended = spawnSync(process.execPath, ['-e', program], { encoding: 'utf8' });
  expect(ended.stderr).toBe('');
  expect(ended.stdout).toBe('all ended\n');
});
