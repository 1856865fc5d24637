/**
 * One life of a process that drives runs with everything in them: decisions, parallel and nested
 * steps, effects with probes and retries, children, checkpoints, rollbacks. It may end itself, with
 * SIGKILL, in the middle of an effect; else it is killed. Arguments: dist folder, pool, ledger,
 * number of runs, chance of ending itself in an effect.
 */
const { appendFileSync, existsSync, readFileSync } = require('node:fs');
const [, , dist, path, ledger, count, chance] = process.argv;
const { open } = require(`${dist}/index.js`);

// The outside world: a file of lines "kind key about". It knows what happened by its key.
const lines = () => (existsSync(ledger) ? readFileSync(ledger, 'utf8').split('\n') : []);
const happened = (kind, key) => lines().some((line) => line.startsWith(`${kind} ${key} `));
const die = () => {
  if (Math.random() < Number(chance)) process.kill(process.pid, 'SIGKILL');
};
const soon = () => new Promise((go) => setTimeout(go, Math.random() * 4));

async function effect(run, about, n) {
  const act = async (_args, { idempotencyKey, attempt }) => {
    die();
    await soon();
    if (n % 4 === 1 && attempt === 1)
      throw Object.assign(new Error('busy'), { neverHappened: true });
    appendFileSync(ledger, `charge ${idempotencyKey} ${about}\n`);
    die();
    if (n % 4 === 2 && attempt === 1) throw new Error('timed out, though it happened');
    await soon();
    return { about, key: idempotencyKey };
  };
  return run.tool('charge', { about }, act, {
    safety: 'effect',
    probe: (key) =>
      happened('charge', key) ? { happened: true, result: { about, key } } : { happened: false },
    retry: { attempts: 3, delay: 1 },
    // The outside takes a key once.
    compensate: (_result, { idempotencyKey }) => {
      die();
      if (!happened('undo', idempotencyKey))
        appendFileSync(ledger, `undo ${idempotencyKey} ${about}\n`);
      die();
    },
  });
}

async function drive(pool, n) {
  const run = await pool.run(`order ${n}`, { input: { n } });
  if (run.status === 'finished') return;
  const plan = await run.decision('plan', () => ({ charges: 4, at: Math.random() }));
  const parts = await Promise.all(
    [0, 1, 2].map((i) =>
      run.step('part', { i }, async () => {
        await soon();
        const inner = await run.step('inner', () => i * 10);
        return inner + i;
      }),
    ),
  );
  const charged = [];
  for (let i = 0; i < plan.charges; i += 1) {
    charged.push(await effect(run, `${n}/${i}`, n + i));
    await run.checkpoint({ charged, parts, map: new Map([[i, new Set(parts)]]) });
  }
  const child = await run.child('shipping');
  if (child.status === 'running') {
    await child.step('pack', soon);
    const shipped = await effect(child, `${n}/shipping`, n);
    await child.finish(shipped.key);
  }
  const undone = n % 3 === 0 ? await run.rollback() : [];
  await run.finish({
    at: plan.at,
    parts,
    charged: charged.map(({ key }) => key),
    shipped: child.result,
    undone: undone.length > 0 || n % 3 === 0,
  });
}

(async () => {
  const pool = await open(path, { medium: 'file' });
  await Promise.all(Array.from({ length: Number(count) }, (_, n) => drive(pool, n)));
  await pool.close();
  process.stdout.write('DONE\n');
})().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exit(1);
});
