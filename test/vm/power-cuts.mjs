// The power is cut while steps are committed, and the same device is booted from again. The host
// holds the model's two numbers: the last step it saw acknowledged, and how many the next guest
// finds, every byte of them (test/vm/driver.cc).
import { rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  copyOut,
  emptyFile,
  formatExt4,
  makeDisks,
  makePmem,
  makePmemPair,
  takeFile,
} from './devices.mjs';
import { Machine } from './machine.mjs';

const POOL_BYTES = 64 << 20;

export function stateOf(line) {
  return Number(line.match(/state=(\d+)/)[1]);
}

/**
 * On the host: is the pool in this copy of the device a state after `least` steps or more? Returns
 * how many.
 */
async function checkImage(t, device, image, least) {
  const pool = `${image}.pool`;
  try {
    if (device.fs === 'none') return await t.driverCheck(image, least);
    if (!(await takeFile(image, '/pool', pool))) {
      if (least > 0) throw new Error(`BAD there is no pool, but step ${least} was acknowledged`);
      return 0;
    }
    return await t.driverCheck(pool, least);
  } finally {
    for (const file of [image, pool]) rmSync(file, { force: true });
  }
}

async function checkDevice(t, device, least) {
  const image = path.join(t.folder, 'copy.img');
  await copyOut(device, image);
  return checkImage(t, device, image, least);
}

function committing(t, device, medium, more = '', bug = '') {
  const args = ['class=power'];
  if (medium === 'pmem' && device.fs !== 'none') args.push(`size=${POOL_BYTES}`);
  if (device.second) args.push('directory=/mnt/p', 'directory=/mnt/q', 'large=4');
  if (more) args.push(more);
  return t.boot(device, { script: 'commit.sh', settings: { medium, args: args.join(','), bug } });
}

async function cutAndReboot(t, device, medium, rounds) {
  let acknowledged = 0;
  for (let round = 1; round <= rounds; round++) {
    const machine = committing(t, device, medium);
    const opened = await machine.said('OPEN ');
    if (!opened.includes(`medium=${medium} class=power`))
      throw new Error(`expected ${medium}, power: ${opened}`);
    const found = stateOf(opened);
    if (found < acknowledged)
      throw new Error(`step ${acknowledged} was acknowledged, round ${round} found ${found}`);
    await machine.acknowledged(found + (device.second ? 40 : 5));
    await sleep(t.random() * 900);
    await machine.cutAndWait();
    acknowledged = machine.lastAck;
    t.states += 1;
  }
  const left = device.second
    ? await foundInGuest(t, device, medium)
    : await checkDevice(t, device, acknowledged);
  if (left < acknowledged)
    throw new Error(`step ${acknowledged} was acknowledged, only ${left} are there`);
  t.note(`${left} steps, ${acknowledged} acknowledged`);
}

/**
 * A pool in two directories names their paths: it is looked at where they are. The driver checks it
 * whole as it opens.
 */
async function foundInGuest(t, device, medium) {
  const machine = committing(t, device, medium, 'steps=1');
  await machine.done();
  const kib = Number(machine.find('GUEST second ').split(' ')[2]);
  if (kib < 1024)
    throw new Error(`only ${kib} KiB are in the second directory: the pool did not come to it`);
  return stateOf(machine.find('OPEN '));
}

/** A mistake is planted; the power is cut when it has been made; the check must then fail. */
async function plantedIsCaught(t, device, medium, plant, why, bug) {
  const machine = committing(t, device, medium, `plant=${plant}`, bug);
  await machine.said('PLANTED');
  await machine.cutAndWait();
  t.states += 1;
  await t.mustFail(() => checkDevice(t, device, machine.lastAck), why);
}

async function frozenStates(t, device, states) {
  const machine = committing(t, device, 'pmem');
  await machine.said('OPEN ');
  await machine.acknowledged(1);
  const seen = new Set();
  for (let i = 0; i < states; i++) {
    await machine.acknowledged(machine.lastAck + 1); // on a busy host it may not have gone on yet
    await sleep(t.random() * 60);
    machine.freeze();
    await sleep(4); // what qemu has written arrives: what does not only asks less of the state
    const least = machine.lastAck;
    const image = path.join(t.folder, 'frozen.img');
    await copyOut(device, image);
    machine.thaw();
    seen.add(await checkImage(t, device, image, least));
    t.states += 1;
  }
  await machine.cutAndWait();
  if (seen.size < states / 3)
    throw new Error(`only ${seen.size} different states were met: the guest stood still`);
  t.note(`${seen.size} different, up to step ${Math.max(...seen)}`);
}

function disk(t) {
  const file = path.join(t.folder, 'disk.img');
  emptyFile(file, 256);
  formatExt4(file, 256);
  return makeDisks(file);
}

export const powerCuts = [
  ['power-cut-nvdimm-ext4', (t) => cutAndReboot(t, makePmem('nvdimm-ext4', t.folder), 'pmem', 10)],
  ['power-cut-memmap-ext4', (t) => cutAndReboot(t, makePmem('memmap-ext4', t.folder), 'pmem', 3)],
  ['power-cut-devdax', (t) => cutAndReboot(t, makePmem('devdax', t.folder), 'pmem', 3)],
  ['power-cut-two-directories', (t) => cutAndReboot(t, makePmemPair(t.folder), 'pmem', 3)],
  ['power-cut-virtio-blk', (t) => cutAndReboot(t, disk(t), 'file', 6)],
  ['frozen-states-nvdimm-ext4', (t) => frozenStates(t, makePmem('nvdimm-ext4', t.folder), 60)],
  [
    'control-acknowledged-first-pmem',
    (t) =>
      plantedIsCaught(
        t,
        makePmem('nvdimm-ext4', t.folder),
        'pmem',
        'ack-first@301',
        /step 301 was acknowledged/,
      ),
  ],
  [
    'control-acknowledged-first-file',
    (t) => plantedIsCaught(t, disk(t), 'file', 'ack-first@101', /step 101 was acknowledged/),
  ],
  ...['barrier-left-out', 'acknowledged-before-barrier'].map((bug) => [
    `control-${bug}-file`,
    (t) => plantedIsCaught(t, disk(t), 'file', 'none@201', /step 200 was acknowledged/, bug),
  ]),
  [
    'control-torn-step-pmem',
    (t) =>
      plantedIsCaught(
        t,
        makePmem('nvdimm-ext4', t.folder),
        'pmem',
        'torn-step@301',
        /is not that after 301 steps/,
      ),
  ],
];
