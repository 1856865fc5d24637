/** Backups and increments made beside commits, and what they restore to at any epoch. */
const assert = require('node:assert');
const fs = require('node:fs');
const { compareAll } = require('./reads.cjs');
const { drain } = require('./commits.cjs');
const { here, holdfast, me, dice, chance, say, settings, history } = require('./here.cjs');

const { path, life } = settings;

let made = [];
let backupNumber = 0;
let backingUp;

function backup() {
  if (backingUp !== undefined) return;
  const before = chance(70) ? made.at(-1) : undefined;
  if (before === undefined) forgetBackups();
  const file = `${path}.${me}.${life}.${++backupNumber}.hfb`;
  say('backup', file, before?.epoch);
  backingUp = here.pool
    .backup(file, before === undefined ? {} : { incremental: before.epoch })
    .then(
      (report) => made.push({ file, epoch: report.epoch }),
      (error) => {
        assert(
          ['ERR_HOLDFAST_FORGOTTEN', 'ERR_HOLDFAST_CLOSED', 'ERR_HOLDFAST_ABORTED'].includes(
            error.code,
          ),
          String(error.stack),
        );
        forgetBackups();
        fs.rmSync(`${file}.partial`, { force: true });
      },
    )
    .finally(() => (backingUp = undefined));
}

function forgetBackups() {
  for (const { file } of made) fs.rmSync(file, { force: true });
  made = [];
}

async function restore() {
  await backingUp;
  await drain();
  if (made.length === 0) return;
  const [first, last] = [made[0].epoch, made.at(-1).epoch];
  const at = first + dice(last - first + 1);
  const to = `${path}.${me}.restored`;
  say('restore', made.length, at, first, last);
  fs.rmSync(to, { force: true }); // of a life that ended in here
  await holdfast.restore(
    made.map(({ file }) => file),
    to,
    { at, medium: 'file' },
  );
  const restored = holdfast.openSync(to, { create: 'never' });
  compareAll(restored, undefined, history.at(at), `restored as of ${at}`);
  restored.closeSync();
  fs.rmSync(to);
}

/** Resolves when no backup is. */
const underWay = async () => backingUp;

module.exports = { backup, restore, forgetBackups, underWay };
