// In the guest: everything a user does with a pool, on the place given, asking for class power. A
// device is taken whole.
const assert = require('node:assert');
const { open } = require('/app/dist/index.js');

async function main(path) {
  const options = { atLeast: 'power', ...(path.startsWith('/dev/') ? {} : { size: 64 << 20 }) };
  let pool = await open(path, options);
  const place = {
    medium: pool.medium,
    class: pool.durability.class,
    reason: pool.durability.reason,
  };
  const memory = pool.keyspace('memory');
  for (let i = 0; i < 50; i++) await memory.put(`key/${i}`, { i, text: 'x'.repeat(i * 40) });
  memory.putSync('large', 'y'.repeat(700000));
  let run = await pool.run('trip', { input: 1 });
  assert.strictEqual(await run.step('plan', async () => 'kept'), 'kept');
  run.close?.();
  await memory.delete('key/7');
  await pool.close();

  pool = await open(path, options);
  const again = pool.keyspace('memory');
  for (let i = 0; i < 50; i++) {
    if (i !== 7) assert.deepStrictEqual(again.get(`key/${i}`), { i, text: 'x'.repeat(i * 40) });
  }
  assert.strictEqual(again.get('key/7'), undefined);
  assert.strictEqual(again.get('large'), 'y'.repeat(700000));
  run = await pool.run('trip');
  assert.strictEqual(await run.step('plan', async () => 'called again'), 'kept');
  await run.finish('done');
  const { damages } = await pool.check();
  assert.deepStrictEqual(damages, []);
  await pool.close();
  console.log(`PLACE ${JSON.stringify(place)}`);
}

main(process.argv[2]).catch((error) => {
  console.log(`BAD ${error.stack.split('\n').join(' | ')}`);
  process.exitCode = 1;
});
