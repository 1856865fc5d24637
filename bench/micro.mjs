// npm run bench:micro: the quick operations by themselves, with tinybench. For work on the code,
// not for comparing stores.
import { rmSync, mkdtempSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

import { Bench } from 'tinybench';

const { open, probe } = createRequire(import.meta.url)('../dist/index.js');
const pmem =
  process.env.PMEM_IS_PMEM_FORCE === '1' && probe('/dev/shm/holdfast-probe').builtWithPmem;
const folder = mkdtempSync(path.join(pmem ? '/dev/shm' : os.tmpdir(), 'holdfast-micro-'));
try {
  const pool = await open(
    path.join(folder, 'micro.holdfast'),
    pmem ? { medium: 'pmem', size: 256 * 2 ** 20 } : { medium: 'file' },
  );
  const spaces = Object.fromEntries(
    ['bytes', 'utf8', 'json', 'structured'].map((value) => [
      value,
      pool.keyspace(value, { value }),
    ]),
  );
  const bytes = Buffer.alloc(256, 7);
  const object = { role: 'assistant', content: 'x'.repeat(180), tokens: 42 };
  for (let i = 0; i < 1000; ++i) {
    spaces.bytes.putSync(`key-${i}`, bytes, { durability: 'eventual' });
    spaces.utf8.putSync(`key-${i}`, object.content, { durability: 'eventual' });
    spaces.json.putSync(`key-${i}`, object, { durability: 'eventual' });
    spaces.structured.putSync(`key-${i}`, object, { durability: 'eventual' });
  }
  let i = 0;
  const key = () => `key-${(i = (i + 7) % 1000)}`;
  const bench = new Bench({ time: 200 });
  for (const name of Object.keys(spaces))
    bench.add(`get, ${name}`, () => {
      spaces[name].get(key());
    });
  bench.add('has', () => {
    spaces.bytes.has(key());
  });
  bench.add('putSync durable, bytes', () => {
    spaces.bytes.putSync(key(), bytes);
  });
  bench.add('putSync eventual, bytes', () => {
    spaces.bytes.putSync(key(), bytes, { durability: 'eventual' });
  });
  bench.add('await put, bytes', async () => {
    await spaces.bytes.put(key(), bytes);
  });
  bench.add('range of 100, bytes', () => {
    for (const _ of spaces.bytes.range({ limit: 100 }));
  });
  bench.add('snapshot', () => {
    pool.snapshot().close();
  });
  await bench.run();
  console.log(`medium ${pool.medium}, class ${pool.durability.class}: ${pool.durability.reason}`);
  console.table(bench.table());
  await pool.close();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
