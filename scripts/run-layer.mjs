// One layer of layers.mjs as a process group of its own, its output in a file.
import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';

const HUNG_SECONDS = 15 * 60;

/**
 * Runs it; the processor time of all its processes is measured by the shell and stands in the log.
 * Resolves with its exit code, or in words how else it ended: one that hangs is ended, with all
 * that it started.
 */
export function runLayer(layer, log) {
  return new Promise((resolve) => {
    const out = openSync(log, 'w');
    const script = 'TIMEFORMAT="processor: %U %S"; time "$@"';
    const child = spawn('bash', ['-c', script, 'layer', ...layer.command], {
      stdio: ['ignore', out, out],
      env: { ...process.env, ...layer.env },
      detached: true,
    });
    const limit = (layer.limit ?? HUNG_SECONDS) + 2 * (layer.seconds ?? 0);
    let hung = false;
    const timer = setTimeout(() => {
      hung = true;
      process.kill(-child.pid, 'SIGKILL');
    }, limit * 1000);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      closeSync(out);
      resolve(hung ? `hung: not done after ${limit} s` : signal ? `signal ${signal}` : code);
    });
  });
}
