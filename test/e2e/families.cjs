/**
 * One life of a process whose threads drive runs with children, and theirs: one after the other,
 * all at once, or in a race; they wait for signals, sleep, fail and are parked. Arguments: dist
 * folder, pool, ledger, number of families. It ends itself when all runs are finished; else it is
 * killed. The outside world is a file of lines: "effect key run", and "claim run".
 */
const { appendFileSync, readFileSync } = require('node:fs');
const { isMainThread, Worker, workerData } = require('node:worker_threads');
const { random } = require('./random-programs.cjs');
const { driveUntilStopped } = require('./threads.cjs');

const THREADS = 3;
const AT_ONCE = 3;
const HOLDS_BACK_MS = 250;

const soon = (ms = 4) => new Promise((go) => setTimeout(go, Math.random() * ms));

/** The program of a run follows from its id, so anybody can drive a child. */
async function member(run, ledger) {
  const dice = random(run.id);
  const happened = (key) => readFileSync(ledger, 'utf8').includes(`effect ${key} `);
  const generation = run.id.split('/').length - 1;
  const first = dice(4);
  if (first === 0) await run.signal('go');
  if (first === 1) await run.sleep(dice(60));
  if (first === 2 && run.attempt === 1) throw new Error('the first time it fails');
  if (generation < 3) await children(run, dice, ledger);
  const act = async (_args, { idempotencyKey }) => {
    await soon();
    appendFileSync(ledger, `effect ${idempotencyKey} ${run.id}\n`);
    await soon(dice(3) === 0 ? 120 : 4);
    return run.id;
  };
  const probe = (key) => (happened(key) ? { happened: true, result: run.id } : { happened: false });
  await run.tool('effect', run.id, act, { probe });
  await run.finish(run.id);
}

async function children(run, dice, ledger) {
  const names = dice(3) === 0 ? ['a'] : ['a', 'b'];
  const way = dice(4);
  if (way === 0) {
    for (const name of names) await child(run, name, ledger);
    return;
  }
  const each = names.map((name) => child(run, name, ledger));
  // Those behind a signal that came first, or a child that did, go on without their parent.
  if (way === 1) each.push(run.signal('enough'));
  for (const one of each) one.catch(() => {});
  if (way < 3) await Promise.race(each);
  else await Promise.all(each);
}

async function child(run, name, ledger) {
  const one = await run.child(name, { suspendAfter: 0 });
  try {
    if (one.status !== 'finished') await member(one, ledger);
  } finally {
    one.close();
  }
}

async function drive(run, ledger) {
  appendFileSync(ledger, `claim ${run.id}\n`);
  try {
    await member(run, ledger);
  } catch (error) {
    const ends = ['ERR_HOLDFAST_SUSPENDED', 'ERR_HOLDFAST_CLOSED', 'ERR_HOLDFAST_RUN_FINISHED'];
    if (error.message === 'the first time it fails') {
      await run.park(error, { until: 5 }).catch((late) => {
        if (!ends.includes(late.code)) throw late;
      });
    } else if (!ends.includes(error.code)) throw error;
  } finally {
    run.close();
  }
}

async function thread({ number, ledger, ...place }) {
  await driveUntilStopped(place, AT_ONCE, async (pool, signal) => {
    const options = { prefix: 'family', suspendAfter: 0 };
    while (!signal.aborted) {
      const run = await pool.claim(number === 0 ? options : { ...options, wait: true, signal });
      if (run) await drive(run, ledger);
      else await soon(10);
    }
  });
}

async function main() {
  const [, , dist, path, ledger, count] = process.argv;
  const { open } = require(`${dist}/index.js`);
  const pool = await open(path, { medium: 'file' });
  for (let n = 0; n < Number(count); n += 1) await pool.begin(`family${n}`);
  const threads = Array.from(
    { length: THREADS },
    (_, number) => new Worker(__filename, { workerData: { dist, path, ledger, number } }),
  );
  const ended = threads.map(
    (each) =>
      new Promise((resolve, reject) => {
        const end = (code) => (code === 0 ? resolve() : reject(new Error('a thread failed')));
        each.on('error', reject).on('exit', end);
      }),
  );
  const failed = Promise.all(ended);
  failed.catch(() => {});
  const begun = performance.now();
  for (;;) {
    const open = [...pool.runs()].filter(({ status }) => status !== 'finished');
    if (open.length === 0) break;
    // For a while all wait that can: nobody is to be claimed again and again meanwhile.
    for (const { id, waits } of performance.now() - begun < HOLDS_BACK_MS ? [] : open)
      for (const { signal } of waits)
        if (signal === 'go' && Math.random() < 0.3)
          await pool.signal(id, signal).catch((error) => {
            if (error.code !== 'ERR_HOLDFAST_RUN_FINISHED') throw error;
          });
    await Promise.race([soon(20), failed]);
  }
  for (const each of threads) each.postMessage('stop');
  await failed;
  await pool.close();
  process.stdout.write('DONE');
}

const say = (error) => {
  process.stderr.write(String(error.stack));
  process.exit(1);
};
if (isMainThread) main().catch(say);
else thread(workerData).catch(say);
