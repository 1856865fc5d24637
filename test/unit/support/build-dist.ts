/**
 * Child processes and worker threads of the tests run what users run: dist/, built before all
 * tests. In a whole test run scripts/test.sh has built it (HOLDFAST_BUILT): other layers run it
 * at the same time.
 */
import { execFileSync } from 'node:child_process';
import path from 'node:path';

export default function buildDist(): void {
  if (process.env.HOLDFAST_BUILT) return;
  const script = path.join(import.meta.dirname, '../../../scripts/build-ts.mjs');
  execFileSync(process.execPath, [script], { stdio: 'inherit' });
}
