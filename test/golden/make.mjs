/**
 * Makes the golden pools: one of each medium, with every kind of operation, a fold, and a tail that
 * was never folded (the process ends with SIGKILL). They are made once per version of the format
 * and of the root, and then kept for ever; golden.test.ts opens them.
 *
 *   node test/golden/make.mjs        after npm run build; needs /dev/shm and PMEM_IS_PMEM_FORCE=1
 *                                    for the pmem pool
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = path.dirname(fileURLToPath(import.meta.url));

async function fill(file, medium) {
  const { open } = await import('../../dist/index.mjs');
  const pool = await open(file, { medium, size: medium === 'pmem' ? 32 << 20 : undefined });
  const notes = pool.keyspace('notes', { key: 'utf8', value: 'json' });
  const bytes = pool.keyspace('bytes', { key: 'bytes', value: 'bytes' });
  for (let i = 0; i < 500; i++)
    notes.putSync(`note-${String(i).padStart(4, '0')}`, { i, text: 'x'.repeat(i % 90) });
  for (let i = 0; i < 500; i += 7) notes.deleteSync(`note-${String(i).padStart(4, '0')}`);
  bytes.putSync(Uint8Array.of(0, 255, 0), new Uint8Array(0));
  bytes.putSync(
    Uint8Array.of(1),
    new Uint8Array(300_000).map((_, i) => i % 251),
  ); // large: segments of its own
  await pool.fold();
  const batch = pool.batch();
  for (let i = 0; i < 40; i++) batch.put(notes, `tail-${i}`, { i });
  batch.delete(notes, 'note-0001');
  pool.commitSync(batch);
  const run = await pool.run('golden-run', { input: { question: 'why' } });
  await run.step('think', () => 'because');
  await run.tool('act', { n: 1 }, () => ({ done: true }));
  await run.checkpoint({ step: 2 });
  process.kill(process.pid, 'SIGKILL');
}

if (process.argv[2]) {
  await fill(process.argv[2], process.argv[3]);
} else {
  for (const medium of ['file', 'pmem']) {
    const folder = mkdtempSync(
      path.join(medium === 'pmem' ? '/dev/shm' : tmpdir(), 'holdfast-golden-'),
    );
    const file = path.join(folder, 'pool');
    const env = { ...process.env, PMEM_IS_PMEM_FORCE: '1' };
    const made = spawnSync(process.execPath, [fileURLToPath(import.meta.url), file, medium], {
      env,
      stdio: 'inherit',
    });
    if (made.signal !== 'SIGKILL')
      throw new Error(`making the ${medium} pool ended with ${made.status ?? made.signal}`);
    const target = path.join(here, `${medium}-v1.3.pool.gz`);
    writeFileSync(target, gzipSync(readFileSync(file), { level: 9 }));
    console.log(`${target}: ${readFileSync(target).length} bytes`);
    rmSync(folder, { recursive: true });
  }
}
