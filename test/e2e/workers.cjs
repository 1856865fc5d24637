/**
 * One life of a process that works off a queue of jobs with four threads, each with several jobs
 * under way. Jobs wait for signals, sleep, fail and are parked. Arguments: dist folder, pool,
 * ledger, number of jobs. It ends itself when all jobs are finished; else it is killed.
 *
 * The outside world is a file of lines: "begin token job" when a driver begins to do something
 * there, "effect key job" for what it does, "end token job" behind it; and "life".
 */
const { appendFileSync, readFileSync } = require('node:fs');
const { isMainThread, Worker, workerData } = require('node:worker_threads');
const { driveUntilStopped } = require('./threads.cjs');

const THREADS = 4;
const AT_ONCE = 8;

const soon = () => new Promise((go) => setTimeout(go, Math.random() * 3));

async function job(run, ledger) {
  const { n } = run.input;
  const happened = (key) => readFileSync(ledger, 'utf8').includes(`effect ${key} `);
  if (n % 5 === 1) await run.signal('go');
  if (n % 5 === 2) await run.sleep(20 + (n % 40));
  if (n % 5 === 3 && run.attempt === 1) throw new Error('the first time it fails');
  await run.tool(
    'effect',
    { n },
    async (_args, { idempotencyKey }) => {
      appendFileSync(ledger, `begin ${run.fencingToken} ${run.id}\n`);
      await soon();
      appendFileSync(ledger, `effect ${idempotencyKey} ${run.id}\n`);
      await soon();
      appendFileSync(ledger, `end ${run.fencingToken} ${run.id}\n`);
      return n;
    },
    { probe: (key) => (happened(key) ? { happened: true, result: n } : { happened: false }) },
  );
  await run.finish(n);
}

async function drive(run, ledger) {
  try {
    await job(run, ledger);
  } catch (error) {
    if (error.code === 'ERR_HOLDFAST_SUSPENDED') return;
    if (error.message !== 'the first time it fails') throw error;
    await run.park(error, { until: 5 });
  }
}

async function thread({ ledger, ...place }) {
  await driveUntilStopped(place, AT_ONCE, async (pool, signal) => {
    const options = { prefix: 'job/', suspendAfter: 0, wait: true, signal };
    while (!signal.aborted) await drive(await pool.claim(options), ledger);
  });
}

async function main() {
  const [, , dist, path, ledger, count] = process.argv;
  const { open } = require(`${dist}/index.js`);
  const pool = await open(path, { medium: 'file' });
  appendFileSync(ledger, 'life\n'); // whoever was here before is dead
  const threads = Array.from(
    { length: THREADS },
    () => new Worker(__filename, { workerData: { dist, path, ledger } }),
  );
  const ended = threads.map(
    (each) => new Promise((resolve, reject) => each.on('error', reject).on('exit', resolve)),
  );
  const seeds = pool.keyspace('seeds');
  // What is begun here is driven by those, also what is begun again in a further life.
  for (let n = 0; n < Number(count); n += 1) {
    const id = `job/${String(n).padStart(6, '0')}`;
    const batch = pool.batch().put(seeds, id, n);
    const { begun } = await pool.begin(id, { input: { n }, batch });
    if (n % 5 === 1 && (begun || !pool.keyspace('told').has(id))) {
      await pool.signal(id, 'go').catch((error) => {
        if (error.code !== 'ERR_HOLDFAST_RUN_FINISHED') throw error;
      });
      await pool.keyspace('told').put(id, true);
    }
  }
  for (;;) {
    let left = false;
    for (const status of ['running', 'waiting'])
      for (const _ of pool.runs({ status, limit: 1 })) left = true;
    if (!left) break;
    await new Promise((go) => setTimeout(go, 50));
  }
  for (const each of threads) each.postMessage('stop');
  await Promise.all(ended);
  await pool.close();
  process.stdout.write('DONE');
}

if (isMainThread)
  main().catch((error) => {
    // Another process has it: it was here first.
    if (error.code === 'ERR_HOLDFAST_LOCKED') return process.stdout.write('LOCKED');
    process.stderr.write(String(error.stack));
    process.exit(1);
  });
else
  thread(workerData).catch((error) => {
    process.stderr.write(String(error.stack));
    process.exit(1);
  });
