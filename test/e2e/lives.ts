/** Lives of a program, of which most are cut short. */
import { spawn } from 'node:child_process';
import path from 'node:path';

import { expect } from 'vitest';

const dist = path.join(import.meta.dirname, '../../dist');

/**
 * Runs a program of this folder, which is told where dist is, and then what is `given`; killed
 * after so many milliseconds, if any. Gives what it said, or KILLED where that was nothing.
 */
export async function live(
  program: string,
  given: readonly string[],
  killAfter?: number,
): Promise<string> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, program), dist, ...given]);
  let out = '';
  let error = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (error += chunk));
  const timer =
    killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter);
  await new Promise((ended) => child.on('close', ended));
  clearTimeout(timer);
  expect(error).toBe('');
  return out || 'KILLED';
}
