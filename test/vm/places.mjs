// What the package says of each kind of persistent memory and does on it, in a guest that has it.
import { makePmem } from './devices.mjs';

function jsonBehind(machine, word) {
  const line = machine.find(`${word} `);
  if (!line) throw new Error(`the guest did not say ${word}`);
  return JSON.parse(line.slice(word.length + 1));
}

function expect(what, actual, wanted) {
  if (actual !== wanted)
    throw new Error(`${what} is ${JSON.stringify(actual)}, expected ${JSON.stringify(wanted)}`);
}

async function place(t, kind, { eadr = false } = {}) {
  const device = makePmem(kind, t.folder, { eadr });
  const machine = t.boot(device, { script: 'place.sh', archive: 'full' });
  await machine.done();
  const doctor = jsonBehind(machine, 'DOCTOR');
  const made = jsonBehind(machine, 'PLACE');
  const info = jsonBehind(machine, 'INFO');
  const isDevice = kind === 'devdax';
  expect('doctor: exists', doctor.exists, false);
  expect('doctor: deviceDax', doctor.deviceDax, isDevice);
  if (!isDevice) expect('doctor: mapSync', doctor.mapSync, true);
  expect('doctor: choice', doctor.choice, 'pmem');
  expect('doctor: durability', doctor.durability, 'power');
  expect('doctor: fileSystem', doctor.fileSystem, isDevice ? 'device dax' : device.fs);
  expect('the pool: medium', made.medium, 'pmem');
  expect('the pool: class', made.class, 'power');
  expect('info: medium', info.medium, 'pmem');
  expect('info: class', info.durability.class ?? info.durability, 'power');
  // Empty where the firmware does not say that the CPU's caches are safe too.
  if (kind !== 'memmap-ext4')
    expect('domain', machine.find('GUEST domain'), `GUEST domain ${eadr ? 'cpu_cache' : ''}`);
  t.states += 1;
  t.note(made.reason);
}

/**
 * Looks like persistent memory, and refuses MAP_SYNC: by itself a pool goes on the file medium,
 * asked for pmem it is refused.
 */
async function notPersistent(t, device) {
  for (const medium of ['pmem', 'auto']) {
    const machine = t.boot(device, {
      script: 'commit.sh',
      settings: { medium, args: 'steps=5,class=power' },
    });
    if (medium === 'auto') {
      await machine.done();
      if (!machine.find('OPEN medium=file class=power'))
        throw new Error(`by itself: ${machine.find('OPEN')}`);
    } else {
      const error = await machine.done().catch((caught) => caught);
      if (!/MEDIUM_UNAVAILABLE/.test(error?.message))
        throw new Error(`asked for pmem: ${error?.message}`);
    }
    t.states += 1;
  }
}

/**
 * Memory that the firmware has set aside is a device dax too, but forgets; libpmemobj dies on it.
 */
async function volatileDevice(t) {
  const machine = t.boot(makePmem('volatile-dax', t.folder), {
    script: 'volatile.sh',
    archive: 'full',
  });
  await machine.done();
  const doctor = jsonBehind(machine, 'DOCTOR');
  expect('doctor: deviceDax', doctor.deviceDax, true);
  expect('doctor: choice', doctor.choice, '');
  expect('doctor: durability', doctor.durability, 'process');
  const refused = machine.find('BUT open');
  if (!refused?.includes('ERR_HOLDFAST_MEDIUM_UNAVAILABLE'))
    throw new Error(`opening it: ${refused}`);
  t.states += 1;
  t.note(refused);
}

async function replay(t, kills) {
  const device = makePmem('nvdimm-ext4', t.folder, { mib: 384 });
  const machine = t.boot(device, {
    script: 'replay.sh',
    archive: 'full',
    settings: { kills },
    seconds: 500,
  });
  await machine.done();
  const report = jsonBehind(machine, 'REPLAY');
  for (const name of ['lost', 'repeated', 'unknown']) expect(`replay: ${name}`, report[name], 0);
  expect('replay: ok', report.ok, true);
  expect('replay: medium', report.medium, 'pmem');
  expect('replay: class', report.class, 'power');
  expect('replay: identical', report.identical, report.conversations);
  t.states += report.kills;
  t.note(`${report.kills} kills, ${report.messages} messages, ${report.effectsFired} effects`);
}

/** Of native_tests, those that touch a medium. A plus is a space. */
const NATIVE_TESTS = [
  'medium+conformance*',
  'a+pool+keeps*',
  'conditions*',
  'pmem:+create*',
  'pmem:+a+commit*',
  'pmem:+the+root*',
  'pmem:+what+is+not*',
  'pmem:+killed*',
];

async function nativeTests(t) {
  const device = makePmem('nvdimm-ext4', t.folder);
  const settings = { filters: NATIVE_TESTS.join(',') };
  const machine = t.boot(device, { script: 'native.sh', settings, seconds: 500 });
  await machine.done();
  const line = machine.lines.find((text) => text.includes('[doctest] test cases:')) ?? '';
  const [, all, passed] = line.match(/test cases:\s*(\d+) \|\s*(\d+) passed/) ?? [];
  expect('test cases passed', passed, all);
  if (!(Number(all) > NATIVE_TESTS.length)) throw new Error(`only ${all} test cases ran`);
  t.states += Number(all);
  t.note('cases of native_tests');
}

export const places = [
  ['place-nvdimm-ext4', (t) => place(t, 'nvdimm-ext4')],
  ['place-nvdimm-xfs', (t) => place(t, 'nvdimm-xfs')],
  ['place-memmap-ext4', (t) => place(t, 'memmap-ext4')],
  ['place-devdax', (t) => place(t, 'devdax')],
  ['place-eadr-ext4', (t) => place(t, 'nvdimm-ext4', { eadr: true })],
  [
    'place-dax-never',
    (t) => notPersistent(t, { ...makePmem('nvdimm-ext4', t.folder), options: 'dax=never' }),
  ],
  ['place-virtio-pmem', (t) => notPersistent(t, makePmem('virtio-pmem', t.folder))],
  ['place-volatile-dax', volatileDevice],
  ['replay-nvdimm-ext4', (t) => replay(t, 4)],
  ['native-tests-nvdimm-ext4', nativeTests],
];
