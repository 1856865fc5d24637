/**
 * Child processes and worker threads of the tests run what users run: dist/, built before all
 * tests.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

export default function buildDist(): void {
  const script = path.join(import.meta.dirname, '../../../scripts/build-ts.mjs');
  execFileSync(process.execPath, [script], { stdio: 'inherit' });
}
