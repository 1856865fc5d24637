// Builds and runs floor_bench: the floors and the engine in C++. A trial of it is a process of its own too.
import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const root = path.resolve(import.meta.dirname, '..');
const build = path.join(root, 'build-bench');
const program = path.join(build, 'floor_bench');
const { latencyOf } = createRequire(import.meta.url)('../dist/bench/statistics.js');
const run = promisify(execFile);

/** Undefined when it is there; else why it is not. */
export function nativeMissing() {
  try {
    if (!existsSync(path.join(build, 'CMakeCache.txt'))) {
      execFileSync('cmake', ['-S', root, '-B', build, '-DCMAKE_BUILD_TYPE=RelWithDebInfo', '-DHOLDFAST_BENCH=ON'], { stdio: 'pipe' });
    }
    execFileSync('cmake', ['--build', build, '-j', '2', '--target', 'floor_bench'], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `floor_bench does not build here: ${String(error.stderr ?? error.message).trim().split('\n').at(-1)}`;
  }
}

const HOW = {
  'pmem-raw': ['pmem', 'non-temporal copy + one sfence, nothing else'],
  'pmem-tx': ['pmem', 'libpmemobj transaction, from C++'],
  'pmem-holdfast': ['pmem', 'Pool::commit in C++: one sfence'],
  'file-raw': ['file', 'pwrite + fdatasync, nothing else'],
  'file-holdfast': ['file', 'Pool::commit in C++: one fdatasync'],
};

export function nativeAt(place, name, shown, missing) {
  const [medium, how] = HOW[name];
  const custom = async ({ bytes }, folder) => {
    if (missing !== undefined) throw new Error(missing);
    const commits = medium === 'pmem' ? (bytes > 65536 ? 500 : 10_000) : 200;
    const { stdout } = await run(program, [name, folder, String(bytes), String(commits)], {
      env: { ...process.env, PMEM_IS_PMEM_FORCE: '1' }, maxBuffer: 64 << 20,
    });
    const { samplesNs, before, after, commits: each, backToBackNs } = JSON.parse(stdout);
    const latency = latencyOf(Float64Array.from(samplesNs), 1);
    const counts = { backToBackNs };
    for (const [key, value] of Object.entries(after)) counts[key] = (value - before[key]) / (2 * each);
    const { fileSystemOf } = createRequire(import.meta.url)('../dist/bench/machine.js');
    const survives = fileSystemOf(folder) === 'tmpfs' ? 'process' : 'power';
    return { latency, rate: 1e9 / latency.p50, counts, facts: { medium, class: survives, how } };
  };
  return { name, shown, module: '', place, custom };
}

/** Instructions of one commit, by callgrind: exact, and the same on a busy machine. Undefined without valgrind. */
export async function instructionsOf(name, folder, bytes) {
  const count = async (commits) => {
    const { stderr } = await run('valgrind', ['--tool=callgrind', '--callgrind-out-file=/dev/null', program, name, folder, String(bytes), String(commits)], {
      env: { ...process.env, PMEM_IS_PMEM_FORCE: '1', HOLDFAST_BENCH_UNTIMED: '1' },
    });
    return Number(/Collected : (\d+)/.exec(stderr)[1]);
  };
  // The difference of two runs has neither start-up nor the making of the pool.
  return ((await count(6000)) - (await count(2000))) / 4000;
}
