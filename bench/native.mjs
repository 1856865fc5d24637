// Builds what the benchmark has in C++ (bench/native), and runs floor_bench: the floors and the
// engine without JavaScript. A trial of it is a process of its own too. The engine in it is the
// addon's own objects (build/Release), which JavaScript runs on as well.
import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '..');
const addon = path.join(root, 'build/Release');
const build = path.join(root, 'build-bench');
const program = path.join(build, 'floor_bench');
export const addonPath = path.join(build, 'floor_addon.node');
export const fenceCounter = path.join(build, 'libholdfast_fence_counter.so');
const { speedOf } = require('../dist/bench/processor.js');
const { latencyOf } = require('../dist/bench/statistics.js');
const { fileSystemOf } = require('../dist/bench/machine.js');
const { readCounts, underStrace } = require('../dist/bench/trial.js');
const run = promisify(execFile);
const forced = { ...process.env, PMEM_IS_PMEM_FORCE: '1' };

/** Where node-gyp or Node's own installation has put the headers. */
function nodeHeaders() {
  const version = process.version.slice(1);
  const prefixes = [
    process.env.npm_config_nodedir,
    path.resolve(process.execPath, '../..'),
    path.join(os.homedir(), '.cache/node-gyp', version),
  ];
  const folders = prefixes.filter(Boolean).map((prefix) => path.join(prefix, 'include/node'));
  return folders.find((folder) => existsSync(path.join(folder, 'node_api.h'))) ?? '';
}

/** Those it is made of now: what was compiled under another name before lies beside them. */
function objectsOf(target) {
  const makefile = readFileSync(path.join(root, `build/${target}.target.mk`), 'utf8');
  const objects = [...makefile.matchAll(/^\t\$\(obj\)\.target\/\$\(TARGET\)\/(\S+\.o)/gm)].map(
    ([, file]) => file,
  );
  return objects
    .filter((file) => !file.includes('binding/'))
    .map((file) => path.join(addon, 'obj.target', target, file));
}
const pmem = ['-lpmemobj', '-lpmem'];

/**
 * What is built of which sources, and how. Without the tests' hooks: what is measured is what users
 * get.
 */
const programs = () => {
  const xxhash = execFileSync(
    process.execPath,
    [path.join(root, 'scripts/gyp.js'), 'have', 'xxhash'],
    { encoding: 'utf8' },
  );
  const flags = [
    '-fno-rtti',
    '-I',
    path.join(root, 'native'),
    '-DHOLDFAST_WITH_PMEM',
    ...(xxhash.startsWith('1') ? ['-DHOLDFAST_HAVE_XXHASH'] : []),
  ];
  const link = [
    ...objectsOf('holdfast_core'),
    ...objectsOf('holdfast_pmem'),
    ...pmem,
    '-ldl',
    '-pthread',
  ];
  return [
    { out: program, source: 'floor_bench.cc', flags, link },
    { out: path.join(build, 'index_bench'), source: 'index_bench.cc', flags, link },
    {
      out: addonPath,
      source: 'floor_addon.cc',
      flags: ['-I', nodeHeaders(), '-fPIC', '-shared'],
      link: pmem,
    },
    { out: fenceCounter, source: 'fence_counter.cc', flags: ['-fPIC', '-shared'], link: ['-ldl'] },
  ];
};

/** Undefined when everything is there; else why it is not. */
export function nativeMissing() {
  if (!existsSync(path.join(addon, 'holdfast_pmem.node')))
    return 'the addon was built without libpmemobj: install libpmemobj-dev, npm run build';
  const [compiler, ...first] = (process.env.CXX || 'c++').split(' ').filter(Boolean);
  mkdirSync(build, { recursive: true });
  try {
    const age = (file) => (existsSync(file) ? statSync(file).mtimeMs : 0);
    for (const { out, source, flags, link } of programs()) {
      const from = path.join(import.meta.dirname, 'native', source);
      if (age(out) > Math.max(age(from), age(path.join(addon, 'holdfast_pmem.node')))) continue;
      execFileSync(
        compiler,
        [...first, '-std=c++20', '-O2', '-Wall', '-Wextra', ...flags, from, ...link, '-o', out],
        { stdio: 'pipe' },
      );
    }
    // looked for beside the program
    copyFileSync(path.join(addon, 'holdfast_pmem_probe'), path.join(build, 'holdfast_pmem_probe'));
    return undefined;
  } catch (error) {
    return `bench/native does not build here: ${String(error.stderr ?? error.message)
      .trim()
      .split('\n')
      .at(-1)}`;
  }
}

const HOW = {
  'pmem-raw': ['pmem', 'non-temporal copy + one sfence, nothing else'],
  'pmem-tx': ['pmem', 'libpmemobj transaction, from C++'],
  'pmem-holdfast': ['pmem', 'Pool::commit in C++: one sfence'],
  'file-raw': ['file', 'pwrite + fdatasync, nothing else'],
  'file-holdfast': ['file', 'Pool::commit in C++: one fdatasync'],
};

/** A driver of floor_bench. `missing` says why there is none. */
export function nativeAt(place, name, shown, missing, counters) {
  const [medium, how] = HOW[name];
  const factsAt = (folder) => ({
    medium,
    class: fileSystemOf(folder) === 'tmpfs' ? 'process' : 'power',
    how,
  });
  const commitsOf = ({ bytes }) => (medium === 'pmem' ? (bytes > 65536 ? 500 : 10_000) : 200);
  const custom = async (workload, folder) => {
    if (missing !== undefined) throw new Error(missing);
    const args = [name, folder, String(workload.bytes), String(commitsOf(workload))];
    const { stdout } = await run(program, args, { env: forced, maxBuffer: 64 << 20 });
    const printed = JSON.parse(stdout);
    const { samplesNs, before, after, commits: each, backToBackNs } = printed;
    const processor = speedOf('C++', printed.processorNs);
    const latency = { ...latencyOf(Float64Array.from(samplesNs), 1), processor };
    const counts = { backToBackNs };
    for (const [key, value] of Object.entries(after))
      counts[key] = (value - before[key]) / (2 * each);
    return { latency, rate: 1e9 / latency.p50, counts, facts: factsAt(folder) };
  };
  const customCounts = async ({ bytes }, folder) => {
    if (missing !== undefined) throw new Error(missing);
    const counts =
      counters.straceMissing === undefined ? await callsOf(name, folder, bytes, counters) : {};
    const instructions =
      medium === 'pmem' && bytes <= 4096 ? await instructionsOf(name, folder, bytes) : undefined;
    if (instructions !== undefined) counts.instructions = instructions;
    if (Object.keys(counts).length === 0) throw new Error(counters.straceMissing);
    return { counts, facts: factsAt(folder) };
  };
  return { name, shown, module: '', place, custom, customCounts };
}

/** System calls and fences of one commit; floor_bench makes the marks. */
async function callsOf(name, folder, bytes, counters) {
  const [log, fences] = [path.join(folder, '..', 'strace'), path.join(folder, '..', 'fences')];
  const [strace, ...options] = underStrace(log, fences, counters);
  const commits = 100;
  await run(strace, [...options, program, name, folder, String(bytes), String(commits)], {
    env: { ...forced, HOLDFAST_BENCH_UNTIMED: '1' },
  });
  return readCounts(log, fences, folder, commits, counters);
}

/**
 * Instructions of one commit, by callgrind: exact, and the same on a busy machine. Undefined
 * without valgrind.
 */
async function instructionsOf(name, folder, bytes) {
  const count = async (commits) => {
    const args = [
      '--tool=callgrind',
      '--callgrind-out-file=/dev/null',
      program,
      name,
      folder,
      String(bytes),
      String(commits),
    ];
    const { stderr } = await run('valgrind', args, {
      env: { ...forced, HOLDFAST_BENCH_UNTIMED: '1' },
    });
    return Number(/Collected : (\d+)/.exec(stderr)[1]);
  };
  try {
    // The difference of two runs has neither start-up nor the making of the pool.
    return Math.round(((await count(6000)) - (await count(2000))) / 4000);
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}
