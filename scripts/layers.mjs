// The layers of docs/testing.md as commands: what an ordinary run does of each, and how each goes
// on with new seeds.
//
//   name      of its line and its log, build-native/results/<name>.log
//   counts    how its tests are counted (count-tests.mjs)
//   command   of an ordinary run; `again(seed, seconds)`: with new seeds for about so long (absent:
//             there is nothing new to try)
//   tried     finds in its output how much it tried
//   usual     seconds it takes beside another layer on two quiet processors: what a slow machine is
//             known by (run-layers.mjs)
//   limit     seconds after which it counts as hung and is ended (else HUNG_SECONDS of
//             run-layer.mjs)
//   needs     seconds on such a machine: an ordinary run begins it only if there is so much time
//             left
//   less      what is done where there is not: `needs` and `command` of a part of it
// What always runs comes first, longest first, so that the two lanes of run-layers.mjs end
// together; then what needs time.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const results = 'build-native/results';
const minutes = (seconds) => String(Math.max(seconds, 1) / 60);

/** Of what is committed: two runs of one commit try the same. 1 where git knows no commit. */
function seedOfTree() {
  const { stdout } = spawnSync('git', ['rev-parse', 'HEAD^{tree}'], { encoding: 'utf8' });
  return Number.parseInt(stdout?.slice(0, 7), 16) || 1;
}

/**
 * share: 1 does all, 10 a tenth of what is counted in thousands; promised: the same for damages,
 * kills, regions' writes and the simulator's seeds: an ordinary run does all.
 */
export function layers({ share = 1, promised = share, seed = 1 } = {}) {
  const part = (count, of = share) => String(Math.ceil(count / of));
  return [
    {
      name: 'typescript',
      usual: 330,
      limit: 1200,
      counts: 'vitest',
      report: `${results}/vitest.json`,
      command: [
        'npx',
        '--no-install',
        'vitest',
        'run',
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${results}/vitest.json`,
      ],
    },
    {
      name: 'thread-sanitizer',
      usual: 95,
      counts: 'summary',
      command: ['bash', 'scripts/sanitize.sh', 'thread'],
      again: (fresh, seconds) => ({
        command: ['build-native/thread/concurrent_tests'],
        counts: 'doctest',
        env: { HOLDFAST_STRESS_MS: String(Math.round(seconds * 250)) },
      }),
    },
    {
      name: 'damage',
      usual: 110,
      counts: 'doctest',
      tried: /damage: (\d+) (?:damages|tried)/g,
      command: [
        'build-native/damage_tests',
        '--count',
        part(5000, promised),
        '--seed',
        String(seed),
        '--jobs',
        '1',
      ],
      again: (fresh, seconds) => ({
        command: [
          'build-native/damage_tests',
          '--minutes',
          minutes(seconds),
          '--seed',
          String(fresh),
          '--jobs',
          '1',
        ],
      }),
    },
    {
      name: 'simulator',
      usual: 140,
      counts: 'summary',
      tried: /(\d+ seeds) tried/g,
      command: ['build-native/crash_simulator', '--seeds', part(20_000, promised), '--jobs', '1'],
      again: (fresh, seconds) => ({
        command: ['build-native/crash_simulator', '--minutes', minutes(seconds), '--jobs', '1'],
      }),
    },
    {
      name: 'crash-states',
      usual: 280,
      counts: 'summary',
      tried: /(\d+ images) in all/g,
      command: ['build-native/crash/crash_explorer'],
      again: (fresh, seconds) => ({
        command: ['build-native/crash/crash_explorer', '--minutes', minutes(seconds)],
      }),
    },
    {
      name: 'kill-storm',
      usual: 210,
      counts: 'doctest',
      tried: /(\d+ kills)/g,
      command: [
        'node',
        'test/storm/storm.mjs',
        '--kills',
        part(1000, promised),
        '--seed',
        String(seed),
        '--lanes',
        '4',
      ],
      again: (fresh, seconds) => ({
        command: [
          'node',
          'test/storm/storm.mjs',
          '--minutes',
          minutes(seconds),
          '--seed',
          String(fresh),
          '--lanes',
          '2',
        ],
      }),
    },
    {
      name: 'readers-storm',
      usual: 27,
      counts: 'summary',
      tried: /(\d+ kills)/g,
      command: ['build-native/readers_storm', '--kills', part(240), '--seed', String(seed)],
      again: (fresh, seconds) => ({
        command: [
          'build-native/readers_storm',
          '--kills',
          String(Math.ceil(2 * seconds)),
          '--seed',
          String(fresh),
        ],
      }),
    },
    { name: 'native', usual: 120, counts: 'doctest', command: ['build-native/native_tests'] },
    {
      name: 'pmdk-debug',
      usual: 15,
      counts: 'doctest',
      command: ['bash', 'scripts/pmdk-debug.sh'],
    },
    {
      name: 'simulator-scripts',
      usual: 60,
      counts: 'summary',
      tried: /(\d+ states) recovered/g,
      command: [
        'build-native/crash_simulator',
        '--scripts',
        '--remembered',
        '--controls',
        '--jobs',
        '1',
      ],
    },
    {
      name: 'kill-points',
      usual: 7,
      counts: 'doctest',
      tried: /(\d+ points)/g,
      command: ['node', 'test/storm/storm.mjs', '--points'],
    },
    {
      name: 'damage-controls',
      usual: 14,
      counts: 'doctest',
      command: ['build-native/damage_tests', '--controls'],
    },
    {
      name: 'fuzz-replay',
      counts: 'doctest',
      tried: /(\d+ mutations)/g,
      command: ['build-native/pool_fuzz_replay', 'test/fuzz/corpus', part(2000), String(seed)],
      again: (fresh, seconds) => ({
        command: [
          'build-native/pool_fuzz_replay',
          'test/fuzz/corpus',
          String(Math.ceil(50 * seconds)),
          String(fresh),
        ],
      }),
    },
    {
      name: 'readers-controls',
      counts: 'summary',
      command: ['build-native/readers_storm', '--controls'],
    },
    {
      name: 'region-storm',
      usual: 14,
      counts: 'summary',
      tried: /(\d+ writes) of 8 bytes/g,
      command: [
        'node',
        'test/storm/regions.mjs',
        '--writes',
        part(1_000_000, promised),
        '--seed',
        String(seed),
      ],
      again: (fresh) => ({ command: ['node', 'test/storm/regions.mjs', '--seed', String(fresh)] }),
    },
    {
      name: 'failing-calls',
      usual: 25,
      counts: 'summary',
      tried: /(\d+ failing calls) tried/g,
      command: [
        'node',
        'test/storm/failing-calls.mjs',
        '--points',
        part(48),
        '--seed',
        String(seed),
      ],
      again: (fresh, seconds) => ({
        command: [
          'node',
          'test/storm/failing-calls.mjs',
          '--points',
          String(Math.ceil(2 * seconds)),
          '--seed',
          String(fresh),
        ],
      }),
    },
    {
      name: 'kill-controls',
      counts: 'doctest',
      command: ['node', 'test/storm/storm.mjs', '--controls'],
    },
    {
      name: 'guests',
      needs: 400,
      limit: 1300,
      counts: 'summary',
      tried: /(\d+ states) in/g,
      command: ['node', 'test/vm/run.mjs'],
      again: (fresh, seconds) =>
        seconds < 300
          ? undefined
          : { command: ['node', 'test/vm/run.mjs'], env: { HOLDFAST_VM_SEED: String(fresh) } },
    },
    {
      name: 'address-sanitizer',
      needs: 1100,
      limit: 1300,
      counts: 'summary',
      tried: /(\d+ seeds) tried|(\d+ mutations)/g,
      command: ['bash', 'scripts/sanitize.sh', 'address', String(share)],
      env: { HOLDFAST_JOBS: '1' }, // the guests beside it have deadlines
      less: { needs: 400, command: ['bash', 'scripts/sanitize.sh', 'address', 'sample'] },
      again: (fresh, seconds) => {
        const built = existsSync('build-native/address/built');
        if (seconds >= 1100) return { command: ['bash', 'scripts/sanitize.sh', 'address'] };
        if (built)
          return {
            command: [
              'build-native/address/crash_simulator',
              '--minutes',
              minutes(seconds),
              '--jobs',
              '1',
            ],
          };
        if (seconds >= 400)
          return { command: ['bash', 'scripts/sanitize.sh', 'address', 'sample'] };
        return { later: 'it is not built; bash scripts/sanitize.sh address build' };
      },
    },
    // That the long mode works: a few seconds of every layer, with seeds that no commit before has
    // tried.
    {
      name: 'long-mode-sample',
      needs: 250,
      counts: 'summary',
      command: ['node', 'scripts/run-layers.mjs', '--minutes', '0.5'],
      env: { HOLDFAST_LANES: '1', HOLDFAST_SEED: String(seedOfTree()) },
    },
    {
      name: 'fuzzing',
      needs: 120,
      counts: 'doctest',
      tried: /executed_units:? +(\d+)/g,
      command: ['bash', 'scripts/fuzz.sh', '20'],
      again: (fresh, seconds) => ({
        command: ['bash', 'scripts/fuzz.sh', String(Math.ceil(seconds))],
      }),
    },
  ];
}
