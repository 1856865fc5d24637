/** Runs the built command line as a user does. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const dist = join(__dirname, '..', '..', 'dist');

export interface CliEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What stdout holds, parsed. */
  readonly json: <T = Record<string, unknown>>() => T;
}

export function cli(args: readonly string[], env: Record<string, string> = {}): Promise<CliEnd> {
  const main = join(dist, 'cli', 'main.js');
  if (!existsSync(main)) throw new Error('dist/ is missing: npm run build:ts makes it');
  const options = { env: { ...process.env, NO_COLOR: '1', ...env }, maxBuffer: 64 << 20 };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ code, stdout, stderr, json: <T>() => JSON.parse(stdout) as T });
    });
  });
}
