/** Compiling, for tests of types: TypeScript's own compiler, in a process of its own. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

/** What it says of files under these options, without any tsconfig.json; nothing if all is well. */
export function saidOf(files: string | readonly string[], options: string): string {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json');
  const { tsc } = (JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { tsc: string } }).bin;
  const given = ['--ignoreConfig', '--noEmit', ...options.split(' ')];
  try {
    execFileSync(
      process.execPath,
      [path.join(path.dirname(manifest), tsc), ...given, ...[files].flat()],
      { encoding: 'utf8' },
    );
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}
