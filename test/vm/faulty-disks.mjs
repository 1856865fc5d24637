// The file medium on disks that lose, fail and forget: every state dm-log-writes can rebuild, and
// dm-flakey.
import path from 'node:path';

import { copySparse, emptyFile, formatExt4, makeDisks, takeFile } from './devices.mjs';
import { Replayer } from './log-writes.mjs';
import { stateOf } from './power-cuts.mjs';

const LOSSY_PER_POINT = 1;

async function record(t, { bug, steps }) {
  const base = path.join(t.folder, 'base.img');
  const live = path.join(t.folder, 'live.img');
  const log = path.join(t.folder, 'log.img');
  emptyFile(base, 48);
  formatExt4(base, 48);
  await copySparse(base, live);
  emptyFile(log, 1024);
  const device = {
    ...makeDisks(live, log),
    modules: ['virtio_pci', 'virtio_blk', 'dm-log-writes'],
  };
  const machine = t.boot(device, {
    script: 'log-writes.sh',
    settings: { bug, args: `steps=${steps}` },
  });
  await machine.done();
  return { base, log };
}

/** Opens the pool in one rebuilt state; the model's lower bound is the last mark before it. */
async function checkImage(t, image, least) {
  const pool = path.join(t.folder, 'state.pool');
  t.states += 1;
  if (await takeFile(image, '/pool', pool)) await t.driverCheck(pool, least);
  else if (least > 0) throw new Error(`BAD there is no pool, but step ${least} was acknowledged`);
}

async function everyPoint(t, replayer) {
  const state = path.join(t.folder, 'state.img');
  let acknowledged = 0;
  let flushed = 0; // entries before this one are behind a flush
  for (const point of replayer.points()) {
    const entry = replayer.entries[point];
    // As a disk with a cache could have left it: some writes since the last flush are gone.
    for (let i = 0; i < LOSSY_PER_POINT && point > flushed && entry.flush; i++) {
      replayer.upTo(flushed - 1);
      await copySparse(replayer.image, state);
      if (replayer.applyLossy(flushed, point - 1, state, t.random) > 0)
        await checkImage(t, state, acknowledged);
    }
    if (entry.mark)
      acknowledged = Math.max(acknowledged, Number(entry.mark.slice('ack'.length)) || 0);
    if (entry.flush) {
      // A flush covers what was complete before it; its own data only if it is forced through.
      replayer.upTo(point);
      flushed = point + 1;
      await copySparse(replayer.image, state);
    } else {
      // At worst the disk has lost all that came since its last flush, but for what was forced
      // through.
      await copySparse(replayer.image, state);
      replayer.applyLossy(flushed, point, state, () => 0);
    }
    await checkImage(t, state, acknowledged);
  }
  return acknowledged;
}

async function logWrites(t, options) {
  const { base, log } = await record(t, options);
  const replayer = new Replayer(log, base, path.join(t.folder, 'replayed.img'));
  try {
    const acknowledged = await everyPoint(t, replayer);
    if (acknowledged === 0) throw new Error('no mark was met in the log');
    t.note(`${replayer.entries.length} entries, ${acknowledged} steps`);
  } finally {
    replayer.close();
  }
}

async function flakey(t, fault, bug = '') {
  const file = path.join(t.folder, 'disk.img');
  emptyFile(file, 96);
  formatExt4(file, 96);
  const device = { ...makeDisks(file), modules: ['virtio_pci', 'virtio_blk', 'dm-flakey'] };
  const machine = t.boot(device, { script: 'flakey.sh', settings: { fault, bug } });
  await machine.done();
  const [first, second] = machine.lines.filter((line) => line.startsWith('OPEN ')).map(stateOf);
  const left = Number(machine.find('STATE ')?.slice('STATE '.length));
  if (first !== 0 || second !== 20)
    throw new Error(`opened with ${first}, then with ${second} steps`);
  t.states += 2;
  return { machine, left };
}

async function failingWrites(t, bug) {
  const { machine, left } = await flakey(t, 'error_writes', bug);
  const failed = machine.find('FAILED ');
  if (!failed?.endsWith(' ERR_HOLDFAST_IO'))
    throw new Error(`a commit on a failing disk: ${failed}`);
  if (machine.find('THEN ') !== 'THEN ERR_HOLDFAST_FAILED')
    throw new Error(`then: ${machine.find('THEN ')}`);
  if (left < machine.lastAck)
    throw new Error(`step ${machine.lastAck} was acknowledged, ${left} are there`);
  t.note(`${failed}; ${left} steps there, ${machine.lastAck} acknowledged`);
}

/**
 * The disk says it wrote and did not. Nothing can save what it lost; what it leaves must still be a
 * prefix.
 */
async function droppedWrites(t) {
  const { machine, left } = await flakey(t, 'drop_writes');
  if (left < 20)
    throw new Error(`20 steps were on the disk before it began to lie, ${left} are there`);
  if (left >= machine.lastAck)
    throw new Error(`control: the lying disk was not noticed (${left} of ${machine.lastAck})`);
  t.note(
    `${machine.lastAck} acknowledged, the disk kept ${left}: a prefix, and the model sees the lie`,
  );
}

export const faultyDisks = [
  ['log-writes-every-flush', (t) => logWrites(t, { bug: '', steps: 45 })],
  [
    'control-log-writes-barrier-left-out',
    (t) =>
      t.mustFail(() => logWrites(t, { bug: 'barrier-left-out', steps: 20 }), /was acknowledged/),
  ],
  ['flakey-failing-writes', (t) => failingWrites(t)],
  [
    'control-flakey-failed-barrier-believed',
    (t) =>
      t.mustFail(
        () => failingWrites(t, 'failed-barrier-believed'),
        /a commit on a failing disk|was acknowledged/,
      ),
  ],
  ['flakey-dropped-writes', droppedWrites],
];
