// What the host must have: qemu and the file-system tools (installed with apt where root may), a
// kernel package (only unpacked, never installed), and the archives that guests boot from.
// Everything is kept under build-vm/.
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = path.dirname(fileURLToPath(import.meta.url));
export const project = path.resolve(here, '..', '..');
export const cache = path.join(project, 'build-vm');

/** Why this layer cannot run here. Counted as skipped, never as passed. */
export class CannotRun extends Error {}

const TOOLS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  busybox: 'busybox-static',
  mke2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  dmsetup: 'dmsetup',
  cpio: 'cpio',
  dd: 'coreutils',
};

const MODULES = [
  'libnvdimm',
  'nfit',
  'nd_e820',
  'nd_btt',
  'nd_pmem',
  'xfs',
  'device_dax',
  'dax_pmem',
  'dax_hmem',
  'ext4',
  'virtio_pci',
  'virtio_blk',
  'virtio_pmem',
  'dm-mod',
  'dm-log-writes',
  'dm-flakey',
];

export function run(program, args, options = {}) {
  return execFileSync(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 << 20,
    ...options,
  });
}

export function which(program) {
  for (const folder of [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']) {
    if (folder && existsSync(path.join(folder, program))) return path.join(folder, program);
  }
  return undefined;
}

function apt(...args) {
  return spawnSync('apt-get', args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: cache,
    timeout: 300_000,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
}

function installTools() {
  const missing = [
    ...new Set(
      Object.keys(TOOLS)
        .filter((tool) => !which(tool))
        .map((tool) => TOOLS[tool]),
    ),
  ];
  if (missing.length === 0) return;
  const why = `${missing.join(' ')} missing`;
  if (process.getuid() !== 0 || !which('apt-get'))
    throw new CannotRun(`${why}, and not root or no apt`);
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  // The lists of a fresh machine are empty or old.
  if (
    apt(...install).status !== 0 &&
    (apt('update').status !== 0 || apt(...install).status !== 0)
  ) {
    throw new CannotRun(`${why}, and apt could not install them`);
  }
}

/** The newest kernel for virtual machines: its image, and its modules by name. */
function fetchKernel() {
  const folder = path.join(cache, 'kernel');
  if (!existsSync(path.join(folder, 'boot'))) {
    if (!which('apt-get')) throw new CannotRun('no apt-get to fetch a kernel package with');
    const named = () =>
      spawnSync('apt-cache', ['depends', 'linux-image-cloud-amd64'], {
        encoding: 'utf8',
      }).stdout?.match(/Depends: (linux-image-\d\S*)/)?.[1];
    let name = named();
    const download = () => name !== undefined && apt('download', name).status === 0;
    if (!download()) {
      if (process.getuid() === 0) apt('update');
      name = named();
      if (!name) throw new CannotRun('apt knows no linux-image-cloud-amd64');
      if (!download()) throw new CannotRun(`${name} could not be downloaded`);
    }
    const half = `${folder}.half`;
    const archive = readdirSync(cache).find((file) => file.startsWith(`${name}_`));
    run('dpkg', ['-x', path.join(cache, archive), half]);
    rmSync(path.join(cache, archive));
    run('mv', [half, folder]);
  }
  const image = readdirSync(path.join(folder, 'boot')).find((file) => file.startsWith('vmlinuz-'));
  const modules = new Map();
  const roots = [path.join(folder, 'lib', 'modules'), path.join(folder, 'usr', 'lib', 'modules')];
  for (const root of roots.filter((candidate) => existsSync(candidate))) {
    for (const file of readdirSync(root, { recursive: true })) {
      const name = path.basename(file).match(/^(.*)\.ko(\.xz|\.zst)?$/)?.[1];
      if (name) modules.set(name.replaceAll('-', '_'), path.join(root, file));
    }
  }
  return { image: path.join(folder, 'boot', image), modules };
}

function moduleBytes(file) {
  if (file.endsWith('.xz')) return run('xz', ['-dc', file]);
  if (file.endsWith('.zst')) return run('zstd', ['-dc', file]);
  return readFileSync(file);
}

/**
 * Copies the modules wanted and those they depend on; returns name -> in which order to load what.
 */
function copyModules(modules, to) {
  mkdirSync(to, { recursive: true });
  const orders = new Map();
  const orderOf = (wanted) => {
    const name = wanted.replaceAll('-', '_');
    const known = orders.get(name);
    if (known) return known;
    const file = modules.get(name);
    if (!file) return []; // built into the kernel; if it is not, mounting will say so
    const bytes = moduleBytes(file);
    writeFileSync(path.join(to, `${name}.ko`), bytes);
    const depends = bytes.toString('latin1').match(/\0depends=([^\0]*)/)?.[1] ?? '';
    const order = [...new Set([...depends.split(',').filter(Boolean).flatMap(orderOf), name])];
    orders.set(name, order);
    return order;
  };
  for (const name of MODULES) orderOf(name);
  return orders;
}

/** Programs, with every library they are linked with, at the paths they are looked for. */
function copyPrograms(root, programs) {
  const put = (from, to) => {
    mkdirSync(path.dirname(to), { recursive: true });
    copyFileSync(from, to);
    chmodSync(to, 0o755);
  };
  for (const [name, from] of Object.entries(programs)) {
    put(from, path.join(root, name));
    const linked = spawnSync('ldd', [from], { encoding: 'utf8' }).stdout ?? '';
    for (const [library] of linked.matchAll(/\/\S+/g)) put(library, path.join(root, library));
  }
}

/** The package as npm would install it: what is built, and its dependencies. */
function copyPackage(root) {
  const app = path.join(root, 'app');
  const copyDependency = (name) => {
    const from = path.join(project, 'node_modules', name);
    const to = path.join(app, 'node_modules', name);
    if (existsSync(to) || !existsSync(from)) return;
    cpSync(from, to, { recursive: true, dereference: true });
    const { dependencies = {} } = JSON.parse(readFileSync(path.join(from, 'package.json'), 'utf8'));
    Object.keys(dependencies).forEach(copyDependency);
  };
  mkdirSync(path.join(app, 'build', 'Release'), { recursive: true });
  cpSync(path.join(project, 'dist'), path.join(app, 'dist'), { recursive: true });
  copyFileSync(path.join(project, 'package.json'), path.join(app, 'package.json'));
  const { dependencies } = JSON.parse(readFileSync(path.join(project, 'package.json'), 'utf8'));
  Object.keys(dependencies)
    .filter((name) => name !== 'node-addon-api')
    .forEach(copyDependency);
  copyPrograms(root, {
    'app/build/Release/holdfast_pmem.node': path.join(
      project,
      'build',
      'Release',
      'holdfast_pmem.node',
    ),
    'app/build/Release/holdfast_pmem_probe': path.join(
      project,
      'build',
      'Release',
      'holdfast_pmem_probe',
    ),
    'usr/bin/node': process.execPath,
  });
}

function archive(folder, file) {
  run('sh', ['-c', `cd "$1" && find . | cpio -o -H newc --quiet >"$2"`, 'sh', folder, file]);
}

function needBuilt() {
  const wanted = [
    'build-native/holdfast_vm_driver',
    'build-native/native_tests',
    'build-native/holdfast_pmem_probe',
    'build/Release/holdfast_pmem.node',
    'dist/cli/main.js',
  ];
  const missing = wanted.filter((file) => !existsSync(path.join(project, file)));
  if (missing.some((file) => file.includes('pmem'))) {
    throw new CannotRun(
      `${missing.join(', ')} not built (libpmemobj is not here, or scripts/test.sh has not run)`,
    );
  }
  if (missing.length > 0)
    throw new Error(`${missing.join(', ')} missing: scripts/test.sh builds them`);
}

/**
 * Everything a guest needs: the kernel, `native` and `full` (with Node and the package) archives to
 * boot from, and the order in which modules are loaded.
 */
export function prepareHost() {
  if (process.arch !== 'x64')
    throw new CannotRun(`the recipes are for x86-64, this is ${process.arch}`);
  mkdirSync(cache, { recursive: true });
  needBuilt();
  installTools();
  const kernel = fetchKernel();
  const bin = (name) => path.join(project, 'build-native', name);
  const stripped = (name) => {
    const to = path.join(cache, name);
    if (spawnSync('strip', ['-o', to, bin(name)]).status !== 0) copyFileSync(bin(name), to);
    return to;
  };
  const noSync = path.join(cache, 'no_sync.so');
  run(process.env.CC?.split(' ').pop() || 'cc', [
    '-shared',
    '-fPIC',
    '-o',
    noSync,
    path.join(here, 'no_sync.c'),
  ]);

  const root = path.join(cache, 'root');
  const full = path.join(cache, 'root-node');
  for (const folder of [root, full]) rmSync(folder, { recursive: true, force: true });
  const orders = copyModules(kernel.modules, path.join(root, 'modules'));
  cpSync(path.join(here, 'guest'), path.join(root, 'guest'), { recursive: true });
  copyPrograms(root, {
    init: path.join(here, 'guest', 'init'),
    'bb/busybox': which('busybox'),
    'usr/bin/driver': stripped('holdfast_vm_driver'),
    'usr/bin/native_tests': stripped('native_tests'),
    'usr/bin/holdfast_pmem_probe': bin('holdfast_pmem_probe'),
    'usr/sbin/dmsetup': which('dmsetup'),
  });
  copyPackage(full);
  const archives = { native: path.join(cache, 'native.cpio'), full: path.join(cache, 'full.cpio') };
  archive(root, archives.native);
  archive(full, path.join(cache, 'node.cpio'));
  run('sh', [
    '-c',
    'cat "$1" "$2" >"$3"',
    'sh',
    archives.native,
    path.join(cache, 'node.cpio'),
    archives.full,
  ]);
  rmSync(path.join(cache, 'node.cpio'));
  for (const folder of [root, full]) rmSync(folder, { recursive: true, force: true });
  const modulesOf = (names) => [
    ...new Set(names.flatMap((name) => orders.get(name.replaceAll('-', '_')) ?? [])),
  ];
  return { kernel: kernel.image, archives, modulesOf };
}
