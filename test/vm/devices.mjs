// The devices of a guest are sparse files of the host: made, formatted, copied and looked into
// here, without root and without a loop device.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, rmSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { cache, run, which } from './host.mjs';

const execute = promisify(execFile);

const MIB = 1 << 20;
/** An NVDIMM's namespace keeps its own description in front. */
const DATA_OFFSET = 2 * MIB;
const BLOCK = 4096;

export function emptyFile(file, mib) {
  rmSync(file, { force: true });
  writeFileSync(file, '');
  truncateSync(file, mib * MIB);
}

/** ext4 in the part of `file` that begins at `offset`. */
export function formatExt4(file, mib, offset = 0) {
  run(which('mke2fs'), [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-b',
    '4096',
    '-E',
    `offset=${offset},nodiscard,lazy_itable_init=1`,
    file,
    `${(mib * MIB - offset) / 1024}k`,
  ]);
}

/**
 * Fletcher's sum over 32-bit words, as the kernel's nvdimm code takes it of the block with the sum
 * left out.
 */
function fletcher64(block) {
  const mask = 0xffffffffn;
  let low = 0n;
  let high = 0n;
  for (let at = 0; at < block.length; at += 4) {
    low = (low + BigInt(block.readUInt32LE(at))) & mask;
    high = (high + low) & mask;
  }
  return (high << 32n) | low;
}

/**
 * An NVDIMM whose one namespace is in mode `fsdax` (a block device that can be mapped) or `devdax`
 * (a character device), as ndctl would have left it: the guest needs no ndctl.
 */
function makeNamespace(file, mib, mode) {
  emptyFile(file, mib);
  const block = Buffer.alloc(BLOCK);
  block.write(mode === 'devdax' ? 'NVDIMM_DAX_INFO\0' : 'NVDIMM_PFN_INFO\0', 0, 'latin1');
  randomBytes(16).copy(block, 16); // the namespace's uuid
  block[22] = (block[22] & 0x0f) | 0x40;
  block[24] = (block[24] & 0x3f) | 0x80;
  block.writeUInt16LE(1, 52); // version 1.4
  block.writeUInt16LE(4, 54);
  block.writeBigUInt64LE(BigInt(DATA_OFFSET), 56);
  block.writeBigUInt64LE(BigInt((mib * MIB - DATA_OFFSET) / BLOCK), 64); // how many pages
  block.writeUInt32LE(1, 72); // page structures are in RAM
  block.writeUInt32LE(DATA_OFFSET, 84); // alignment
  block.writeUInt32LE(BLOCK, 88); // page size
  block.writeUInt16LE(64, 92); // size of a page structure
  block.writeBigUInt64LE(fletcher64(block), BLOCK - 8);
  const fd = openSync(file, 'r+');
  writeSync(fd, block, 0, BLOCK, BLOCK);
  closeSync(fd);
}

function formatXfs(file, mib) {
  const part = `${file}.xfs`;
  emptyFile(part, mib - DATA_OFFSET / MIB);
  run(which('mkfs.xfs'), ['-q', '-f', '-m', 'reflink=0', part]);
  run('dd', [
    `if=${part}`,
    `of=${file}`,
    `bs=${DATA_OFFSET}`,
    'seek=1',
    'conv=sparse,notrunc',
    'status=none',
  ]);
  rmSync(part);
}

/** What each kind of persistent memory is to qemu, and to the guest. `folder` holds its file. */
export function makePmem(
  kind,
  folder,
  { eadr = false, mib = kind === 'nvdimm-xfs' ? 512 : 256 } = {},
) {
  if (kind === 'memmap-ext4') {
    // All of the guest's RAM is a file, and a part of that RAM is called persistent: so that part
    // survives qemu.
    const file = `${folder}/ram.img`;
    const offset = 768 * MIB;
    emptyFile(file, 1280); // the last 256 MiB: where qemu puts the archive the guest boots from
    formatExt4(file, 1024, offset);
    return {
      file,
      offset,
      mib: 256,
      modules: ['nd_e820', 'nd_pmem', 'nd_btt', 'nfit'],
      device: '/dev/pmem0',
      fs: 'ext4',
      machine: [
        '-M',
        'q35,memory-backend=ram',
        '-m',
        '1280M',
        '-object',
        `memory-backend-file,id=ram,share=on,mem-path=${file},size=1280M`,
      ],
      append: 'memmap=256M!768M',
      options: 'dax=always',
    };
  }
  if (kind === 'volatile-dax') {
    return {
      modules: ['dax_hmem', 'device_dax'],
      device: '/dev/dax0.0',
      fs: 'none',
      machine: ['-M', 'q35', '-m', '1280M'],
      append: 'memmap=256M%768M-1+0xefffffff',
      options: '', // usable memory becomes "soft reserved"
    };
  }
  if (kind === 'virtio-pmem') {
    const file = `${folder}/virtio-pmem.img`;
    emptyFile(file, 256);
    formatExt4(file, 256);
    return {
      file,
      offset: 0,
      modules: ['virtio_pci', 'virtio_pmem', 'nd_pmem', 'nd_btt'],
      device: '/dev/pmem0',
      fs: 'ext4',
      machine: [
        '-M',
        'q35',
        '-m',
        '1G,slots=2,maxmem=4G',
        '-object',
        `memory-backend-file,id=vp,share=on,mem-path=${file},size=256M`,
        '-device',
        'virtio-pmem-pci,memdev=vp',
      ],
      append: '',
      options: 'dax=always',
    };
  }
  const file = `${folder}/nvdimm.img`;
  makeNamespace(file, mib, kind === 'devdax' ? 'devdax' : 'fsdax');
  if (kind === 'nvdimm-ext4') formatExt4(file, mib, DATA_OFFSET);
  if (kind === 'nvdimm-xfs') formatXfs(file, mib);
  const persistence = eadr ? ',nvdimm-persistence=cpu' : '';
  const isDevice = kind === 'devdax';
  return {
    file,
    offset: DATA_OFFSET,
    mib: mib - DATA_OFFSET / MIB,
    modules: [
      'nfit',
      'nd_pmem',
      'nd_btt',
      'nd_e820',
      ...(isDevice ? ['dax_pmem', 'device_dax'] : []),
      ...(kind === 'nvdimm-xfs' ? ['xfs'] : []),
    ],
    device: isDevice ? '/dev/dax0.0' : '/dev/pmem0',
    fs: isDevice ? 'none' : kind.split('-')[1],
    machine: [
      '-M',
      `q35,nvdimm=on${persistence}`,
      '-m',
      '1G,slots=2,maxmem=4G',
      ...nvdimm(0, file, mib),
    ],
    append: '',
    options: 'dax=always',
  };
}

function nvdimm(number, file, mib) {
  return [
    '-object',
    `memory-backend-file,id=nv${number},share=on,pmem=off,mem-path=${file},size=${mib}M`,
    '-device',
    `nvdimm,id=nvd${number},memdev=nv${number}`,
  ];
}

/**
 * Two NVDIMMs with an ext4 each: for a pool in two directories, of which the first is soon full.
 */
export function makePmemPair(folder) {
  const first = makePmem('nvdimm-ext4', folder, { mib: 16 });
  const file = `${folder}/nvdimm-1.img`;
  const mib = 256;
  makeNamespace(file, mib, 'fsdax');
  formatExt4(file, mib, DATA_OFFSET);
  return { ...first, second: '/dev/pmem1', machine: [...first.machine, ...nvdimm(1, file, mib)] };
}

/**
 * Ordinary disks. What the guest has not synced is lost with its page cache; the host's own keeps
 * what was written.
 */
export function makeDisks(...files) {
  const drives = files.flatMap((file, i) => [
    '-drive',
    `file=${file},if=none,id=d${i},format=raw,cache=unsafe`,
    '-device',
    `virtio-blk-pci,drive=d${i}`,
  ]);
  return {
    file: files[0],
    offset: 0,
    modules: ['virtio_pci', 'virtio_blk'],
    device: '/dev/vda',
    fs: 'ext4',
    machine: ['-M', 'q35', '-m', '512M', ...drives],
    append: '',
    options: 'noatime',
  };
}

// Whether the host's own disk has these copies does not matter: they are gone in a moment.
const unsynced = {
  env: { ...process.env, LD_PRELOAD: path.join(cache, 'no_sync.so') },
  timeout: 300_000,
  maxBuffer: 64 << 20,
};

/** Runs a program beside everything else; its exit code may be one of `accepted`. */
async function tool(program, args, accepted = [0]) {
  try {
    return (await execute(program, args, unsynced)).stdout;
  } catch (error) {
    if (!accepted.includes(error.code))
      throw new Error(`${program}: ${error.stdout}${error.stderr}`);
    return error.stdout;
  }
}

/** The device's content from `offset` on, at this instant, as a file of its own. */
export async function copyOut(device, to) {
  rmSync(to, { force: true });
  const part = device.mib ? [`count=${device.mib}`] : [];
  await tool('dd', [
    `if=${device.file}`,
    `of=${to}`,
    'bs=1M',
    `skip=${device.offset / MIB}`,
    ...part,
    'conv=sparse',
    'status=none',
  ]);
}

export async function copySparse(from, to) {
  await tool('cp', ['--sparse=always', from, to]);
}

/**
 * Brings an ext4 image to order as a mount would (journal replay) and takes a file out. False:
 * there is no such file.
 */
export async function takeFile(image, name, to) {
  rmSync(to, { force: true });
  await tool(which('e2fsck'), ['-fy', image], [0, 1, 2]);
  const listed = await tool(which('debugfs'), ['-R', `stat ${name}`, image]);
  if (!listed.includes('Type: regular')) return false;
  await tool(which('debugfs'), ['-R', `dump ${name} ${to}`, image]);
  return true;
}
