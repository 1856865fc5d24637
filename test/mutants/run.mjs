#!/usr/bin/env node
// Makes single lines of the engine wrong, one at a time, and says which layer notices first
// (docs/testing.md, "Lines made wrong").
//
//   node test/mutants/run.mjs                 all mutants (hours), on a tree where npm test has run
//   node test/mutants/run.mjs --only N,N-N    these; --from N: from there on; --unnoticed: those of
//                                             unnoticed.mjs; --list: only says which
//   node test/mutants/run.mjs --check         only whether each mutant's place is still there (a
//                                             second)
//   --layers unit,few,...                     only these layers; --built: with what the last run
//                                             has built and found to hold
//   --reach                                   first writes down which layer, and which case of the
//                                             native tests, comes to which mutant (five minutes,
//                                             again only for new cases): from then on only those
//                                             are tried that come to it, quick cases first, as the
//                                             layers quick, short, long and all
//
// Not part of npm test. All mutants of list/ are built into a copy of the sources, build-mutants/,
// each behind a switch, so there is one build for all; HOLDFAST_MUTANT=N turns one on. The layers
// are tried from the cheapest to the dearest, and the first that fails has noticed. What no layer
// notices is printed as SURVIVED; exit code 1 if there is one that list/ does not explain. One that
// hangs has been noticed; what a busy machine gave no time to is printed as NOT RUN (exit code 1).
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { runGroup } from '../../scripts/run-layer.mjs';
import { equivalent, mutants } from './list.mjs';
import { numbersIn, placeOf } from './places.mjs';
import { unnoticed } from './unnoticed.mjs';

const project = path.join(import.meta.dirname, '../..');
const root = path.join(project, 'build-mutants');
const { values: options } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    layers: { type: 'string' },
    built: { type: 'boolean', default: false },
    reach: { type: 'boolean', default: false },
    unnoticed: { type: 'boolean', default: false },
  },
});

// name, what it runs, seconds of its own (scripts/own-time.mjs) after which it counts as hung. In
// the order in which they are tried.
const SLOW = [
  '*1,000 times*',
  '*many threads*',
  '*85 % live*',
  '*small full pool*',
  '*node: nonsense*',
  '*does not grow with*',
  '*100,000 keys*',
  '*a backup made while*',
  '*random work*',
];
const explorer = (medium, images) => [
  'crash/crash_explorer',
  ['--only', medium, '--images', images],
];
const of = (...files) => [
  'native_tests',
  [
    '--abort-after=1',
    `--source-file=${files.map((file) => `*${file}_test.cc`)}`,
    `--test-case-exclude=${SLOW}`,
  ],
];
const LAYERS = [
  [
    'unit',
    'native tests of single parts',
    ...of('/log/*', 'space_books', 'superblock', 'readers_table', 'extent_allocator'),
    60,
  ],
  ['few', 'simulator, 60 seeds', 'crash_simulator', ['--seeds', '60', '--jobs', '1'], 60],
  [
    'seeds',
    'simulator, 1,500 seeds',
    'crash_simulator',
    ['--seeds', '1440', '--from', '61', '--jobs', '1'],
    120,
  ],
  [
    'media',
    'native tests of the media',
    ...of('/medium/*', '/conformance/*', 'pool_faults', 'resize'),
    200,
  ],
  [
    'readers',
    'native tests of readers and groups',
    ...of('/readers', 'readers_regions', 'readers_between', 'inline_group', 'eventual'),
    200,
  ],
  [
    'pool',
    'native tests of the pool',
    ...of(
      '/pool',
      '/commit',
      'recovery',
      'regions',
      'regions_overlay',
      'views',
      'feed',
      'retention',
      'written_at',
      'backup_parts',
      'backup',
      'large_values',
      'cleaner',
      'salvage',
      'damaged_log',
    ),
    200,
  ],
  ['index', 'native tests of the index', ...of('/index/*', 'merge_switch'), 200],
  [
    'native',
    'native tests, the others',
    'native_tests',
    ['--abort-after=1', `--test-case-exclude=${SLOW}`],
    300,
  ],
  [
    'scripts',
    'simulator, scripts',
    'crash_simulator',
    ['--scripts', '--remembered', '--jobs', '1'],
    200,
  ],
  ['file', 'crash states, file', ...explorer('file', '300'), 240],
  ['pmem', 'crash states, persistent memory', ...explorer('pmem', '60'), 240],
  ['damage', 'damage', 'damage_tests', ['--count', '400', '--jobs', '1'], 240],
  ['storm', "readers' storm", 'readers_storm', ['--kills', '60'], 240],
  [
    'fuzz',
    'fuzzing',
    'pool_fuzz_replay',
    [path.join(project, 'test/fuzz/corpus'), '1000', '1'],
    240,
  ],
  [
    'slow',
    'native tests, the slow ones',
    'native_tests',
    ['--abort-after=1', `--test-case=${SLOW}`],
    400,
  ],
  [
    'more',
    'simulator, 20,000 seeds',
    'crash_simulator',
    ['--seeds', '18500', '--from', '1501', '--jobs', '1'],
    900,
  ],
];

const PATIENCE = 10; // a busy machine is given so many times the seconds of a layer
const MOST_SAID = 4 << 20;
const NOT_RUN = 'NOT RUN';
const WRITTEN_MS = 30_000;

const REACH_BYTES = 1 << 22;
const REACH = path.join(root, 'reach.json');

/**
 * What HOLDFAST_MUTANT is for it. By its name, so that a new one in the list does not make all
 * files new.
 */
function switchOf(what) {
  let hash = 0x811c9dc5;
  for (const c of what) hash = Math.imul(hash ^ c.charCodeAt(0), 0x01000193);
  return hash >>> 1;
}

/** The text of a file with all its mutants in it, each behind its switch. */
function mutate(file, text) {
  const places = new Map(); // "begin end" -> [number, replacement]
  mutants.forEach(([what, of, where, instead]) => {
    if (of !== file) return;
    const { begin, end } = placeOf(what, file, text, where);
    const key = `${begin} ${end}`;
    places.set(key, [...(places.get(key) ?? []), [switchOf(what), instead]]);
  });
  // From behind, and what lies inside of another before that one.
  const edits = [...places]
    .map(([key, list]) => [...key.split(' ').map(Number), list])
    .sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  const done = [];
  for (const [begin, end, list] of edits) {
    const within = done.filter((edit) => edit.begin < end);
    if (within.some((edit) => edit.end > end))
      throw new Error(`mutants overlap in ${file}: ${text.slice(begin, end)}`);
    const original = text.slice(begin, end + within.reduce((sum, edit) => sum + edit.more, 0));
    const statement = list.some(([, instead]) => instead === '' || /;[ }]*$/.test(instead));
    if (statement && /(\.|->|[=(,&|!?] *)$/.test(text.slice(0, begin)))
      throw new Error(`a mutant's place in ${file} is not a whole statement: ${original}`);
    let changed = statement ? `{ ${original} }` : `(${original})`;
    for (const [number, instead] of list) {
      changed = statement
        ? `if (holdfast::mutant(${number})) { ${instead} } else ${changed}`
        : `(holdfast::mutant(${number}) ? (${instead}) : ${changed})`;
    }
    text = text.slice(0, begin) + changed + text.slice(begin + original.length);
    done.push({
      begin,
      end,
      more: changed.length - original.length - within.reduce((sum, edit) => sum + edit.more, 0),
    });
  }
  const pragma = text.indexOf('#pragma once\n');
  const include = '#include "base/mutant.h"\n';
  return pragma < 0
    ? include + text
    : text.slice(0, pragma + 13) + include + text.slice(pragma + 13);
}

const SWITCH = `#pragma once
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
namespace holdfast {
inline const int the_mutant = std::getenv("HOLDFAST_MUTANT") ? std::atoi(std::getenv("HOLDFAST_MUTANT")) : 0;
// A file with a byte for each mutant, set where one is come to.
// System calls as such: the tests have an open() and mmap() of their own.
inline unsigned char* open_reached() {
  const char* path = std::getenv("HOLDFAST_MUTANTS_REACHED");
  if (!path) return nullptr;
  const long fd = ::syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  const long at = fd < 0 ? -1 : ::syscall(SYS_mmap, nullptr, ${REACH_BYTES}, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::syscall(SYS_close, fd);
  return at < 0 && at > -4096 ? nullptr : reinterpret_cast<unsigned char*>(at);
}
inline unsigned char* const reached = open_reached();
inline bool mutant(int number) {
  if (__builtin_expect(reached != nullptr, 0)) reached[number % ${REACH_BYTES}] = 1;
  return __builtin_expect(number == the_mutant, 0);
}
}
`;

function mutated() {
  const texts = new Map();
  for (const file of new Set(mutants.map(([, of]) => of)))
    texts.set(file, mutate(file, readFileSync(path.join(project, 'native', file), 'utf8')));
  return texts;
}

/** Only what has changed is written, so that only that is built again. */
function put(file, text) {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}

function build() {
  const texts = mutated();
  mkdirSync(root, { recursive: true });
  for (const part of ['native', 'test']) {
    cpSync(path.join(project, part), path.join(root, part), {
      recursive: true,
      preserveTimestamps: true,
      filter: (from) => !texts.has(path.relative(path.join(project, 'native'), from)),
    });
  }
  cpSync(path.join(project, 'CMakeLists.txt'), path.join(root, 'CMakeLists.txt'), {
    preserveTimestamps: true,
  });
  put(path.join(root, 'native/base/mutant.h'), SWITCH);
  for (const [file, text] of texts) put(path.join(root, 'native', file), text);
  const into = path.join(root, 'build-native');
  const quiet = { stdio: ['ignore', 'ignore', 'inherit'], cwd: root };
  execFileSync('cmake', ['-S', root, '-B', into, '-DCMAKE_BUILD_TYPE=RelWithDebInfo'], quiet);
  const jobs = process.env.HOLDFAST_BUILD_JOBS ?? String(os.availableParallelism());
  execFileSync(
    'cmake',
    [
      '--build',
      into,
      '-j',
      jobs,
      '--target',
      'native_tests',
      'crash_simulator',
      'damage_tests',
      'pool_fuzz_replay',
      'readers_storm',
      'crash_explorer',
    ],
    quiet,
  );
}

/** The end of what a layer has said. */
function endOf(log) {
  const fd = openSync(log, 'r');
  const bytes = Buffer.alloc(MOST_SAID);
  const size = readSync(fd, bytes, 0, MOST_SAID, Math.max(0, fstatSync(fd).size - MOST_SAID));
  closeSync(fd);
  return bytes.toString('utf8', 0, size);
}

/** Runs a layer; what it leaves in the temporary folder and what it started go with it. */
async function run(program, args, limit, number, more = {}) {
  const tmp = mkdtempSync(
    path.join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'holdfast-mutant-'),
  );
  chmodSync(tmp, 0o755); // a test gives up its rights
  const log = path.join(root, `layer-${process.pid}.log`);
  const { code, signal, hung, starved, seconds } = await runGroup(
    [path.join(root, 'build-native', program), ...args],
    {
      log,
      limit,
      patience: PATIENCE,
      cwd: root,
      env: {
        HOLDFAST_MUTANT: String(number === 0 ? 0 : switchOf(mutants[number - 1][0])),
        TMPDIR: tmp,
        HOLDFAST_TEST_MEMORY: tmp,
        ...more,
      },
    },
  );
  const out = endOf(log);
  rmSync(log);
  rmSync(tmp, { recursive: true, force: true, maxRetries: 5 }); // what was ended may not be gone yet
  return {
    held: code === 0 && !hung && !starved,
    starved,
    seconds,
    said: hung ? `hung: ${hung}` : (starved ?? `ended with ${signal ?? code}`),
    out,
  };
}

const wanted = options.layers?.split(',');
const layers = LAYERS.filter(([key]) => !wanted || wanted.includes(key));

/** A layer that fails without a mutant notices nothing by failing. */
async function holdsWithout() {
  if (options.built) return true;
  for (const [, layer, program, args, seconds] of layers) {
    const { held, said, out } = await run(program, args, seconds, 0);
    if (!held) console.error(`without any mutant: ${layer}: ${said}\n${out.slice(-2000)}`);
    if (!held) return false;
  }
  return true;
}

/** Which mutants a program comes to, by name; undefined: it does not hold without any. */
async function comesTo(program, args, limit) {
  const file = path.join(root, 'reached');
  const fd = openSync(file, 'w');
  ftruncateSync(fd, REACH_BYTES);
  closeSync(fd);
  const more = { HOLDFAST_MUTANTS_REACHED: file };
  const { held, said, seconds } = await run(program, args, limit * 4, 0, more);
  const bytes = readFileSync(file);
  rmSync(file);
  if (!held) console.error(`without any mutant: ${program} ${args.join(' ')}: ${said}`);
  if (!held) return undefined;
  return {
    took: seconds,
    to: mutants.map(([what]) => what).filter((what) => bytes[switchOf(what) % REACH_BYTES] !== 0),
  };
}

let reach;
/** For the filter of doctest. */
const exact = (name) => name.replaceAll(/[,\\*"]/g, '?');

async function writeReach() {
  const cases = execFileSync(path.join(root, 'build-native/native_tests'), [
    '--list-test-cases',
    '--no-colors',
  ])
    .toString()
    .split('\n')
    .filter((line) => line && !line.startsWith('[doctest]') && !line.startsWith('==='));
  const before = existsSync(REACH) ? JSON.parse(readFileSync(REACH, 'utf8')) : {};
  const names = mutants.map(([what]) => what).join('\n');
  const found = before.mutants === names ? before : { mutants: names, cases: {}, layers: {} };
  let written = Date.now();
  const write = () => {
    writeFileSync(REACH, JSON.stringify(found, undefined, 1));
    written = Date.now();
  };
  for (const name of cases) {
    found.cases[name] ??= await comesTo('native_tests', [`--test-case=${exact(name)}`], 60);
    if (Date.now() - written > WRITTEN_MS) write(); // who is ended goes on from there
  }
  write();
  for (const [key, , program, args, seconds] of layers) {
    if (program === 'native_tests' || key === 'more') continue;
    found.layers[key] ??= await comesTo(program, args, seconds);
    write();
  }
}

/**
 * The native tests that come to a mutant, as layers: first what takes three seconds, then what
 * takes more.
 */
function casesOf(what, reach) {
  const found = Object.entries(reach.cases)
    .filter(([, { to }]) => to.includes(what))
    .sort((a, b) => a[1].took - b[1].took);
  const batches = [
    ['quick', 3],
    ['short', 15],
    ['long', 60],
    ['all', Infinity],
  ].map(([key, most]) => ({ key, most, names: [], sum: 0 }));
  for (const [name, { took }] of found) {
    const batch = batches.find(({ most, sum }) => sum + took <= most);
    batch.names.push(name);
    batch.sum += took;
  }
  return Object.fromEntries(
    batches.map(({ key, names, sum }) => [
      key,
      names.length === 0 || (wanted && !wanted.includes(key))
        ? []
        : [
            [
              key,
              'native tests',
              'native_tests',
              ['--abort-after=1', `--test-case=${names.map(exact).join(',')}`],
              Math.round(20 + sum * 5),
            ],
          ],
    ]),
  );
}

/** What may notice it, in the order in which it is tried. */
function layersFor(number) {
  const [what, , , , first] = mutants[number - 1];
  if (!reach) return [...layers].sort((a, b) => Number(first === b[0]) - Number(first === a[0]));
  const { quick, short, long, all } = casesOf(what, reach);
  const others = layers.filter(
    ([key, , program]) =>
      program !== 'native_tests' && (!reach.layers[key] || reach.layers[key].to.includes(what)),
  );
  const only = (name) => others.filter(([key]) => key === name);
  return [
    ...quick,
    ...only('few'),
    ...short,
    ...only('seeds'),
    ...long,
    ...others.filter(([key]) => key !== 'few' && key !== 'seeds'),
    ...all,
  ];
}

/** Which layer notices, and what it says; undefined: none does. */
async function noticed(number) {
  const [what] = mutants[number - 1];
  let notRun;
  for (const [key, layer, program, args, seconds] of layersFor(number)) {
    if (key === 'more' && !wanted && equivalent[what]) continue;
    const { held, starved, said, out } = await run(program, args, seconds, number);
    if (starved) notRun = [NOT_RUN, `${layer}: ${said}`];
    if (held || starved) continue;
    const line =
      out.match(/^.*(seed \d+:|script '|ERROR: |TEST CASE: |FAILED|VIOLATED|terminate).*$/m)?.[0] ??
      said;
    // The case that the first error is in: one that holds may have said something too.
    const test = out
      .slice(0, Math.max(0, out.search(/: (FATAL )?ERROR: /)))
      .match(/^TEST CASE:.*$/gm)
      ?.at(-1);
    return [layer, (test ?? line).trim().slice(0, 150)];
  }
  return notRun;
}

function chosen() {
  if (options.unnoticed)
    return mutants.flatMap(([what], i) => (unnoticed.includes(what) ? [i + 1] : []));
  if (!options.only) return mutants.map((_, i) => i + 1).filter((n) => n >= Number(options.from));
  return numbersIn(options.only);
}

async function main() {
  if (options.list) {
    for (const number of chosen())
      console.log(`${number} ${mutants[number - 1][0]} (${mutants[number - 1][1]})`);
    return 0;
  }
  mutated();
  for (const what of [...Object.keys(equivalent), ...unnoticed]) {
    if (!mutants.some(([name]) => name === what))
      throw new Error(`equivalent.mjs or unnoticed.mjs names "${what}", which is no mutant`);
  }
  if (options.check) {
    console.log(
      `${mutants.length} mutants, ${Object.keys(equivalent).length} of them equivalent, ${unnoticed.length} not noticed so far`,
    );
    return 0;
  }
  if (!options.built) build();
  if (options.reach) await writeReach();
  if (existsSync(REACH)) reach = JSON.parse(readFileSync(REACH, 'utf8'));
  else if (!(await holdsWithout())) return 1;
  let explained = 0;
  let unexplained = 0;
  let notRun = 0;
  for (const number of chosen()) {
    const [what, file] = mutants[number - 1];
    const begun = Date.now();
    const [layer, said] = (await noticed(number)) ?? [
      'SURVIVED',
      equivalent[what] ? `equivalent: ${equivalent[what]}` : '',
    ];
    if (layer === NOT_RUN) notRun += 1;
    if (layer === 'SURVIVED') said ? (explained += 1) : (unexplained += 1);
    const line = `${number} | ${what} (${file}) | ${layer} | ${Math.round((Date.now() - begun) / 1000)} s | ${said}`;
    console.log(line);
    appendFileSync(path.join(root, 'results.txt'), `${line}\n`);
  }
  console.log(
    `mutants: ${chosen().length - unexplained - notRun} passed, ${unexplained} failed, ${notRun} not run (${explained} equivalent)`,
  );
  return unexplained + notRun === 0 ? 0 : 1;
}

process.exitCode = await main();
