/** A thread that drives runs, several at once, until its process tells it to stop. */
const { parentPort } = require('node:worker_threads');

/** `worker` drives one after the other until the signal is aborted. */
async function driveUntilStopped({ dist, path }, atOnce, worker) {
  const { open } = require(`${dist}/index.js`);
  // So that a machine that is busy for long takes no run from a thread that lives.
  const pool = await open(path, { lease: 120_000 });
  const stop = new AbortController();
  parentPort.on('message', () => stop.abort());
  const workers = Array.from({ length: atOnce }, () => worker(pool, stop.signal));
  const ended = await Promise.allSettled(workers);
  // One that was at a run when it was told to stop has ended without an error.
  const failed = ended.filter(({ status }) => status === 'rejected');
  const wrong = failed.find(({ reason }) => reason?.code !== 'ERR_HOLDFAST_ABORTED');
  if (wrong) throw wrong.reason;
  await pool.close();
  parentPort.close();
}

module.exports = { driveUntilStopped };
