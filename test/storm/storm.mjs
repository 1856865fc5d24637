// The kill storm: real processes that commit from several threads are killed at random moments,
// over and over, on pools that a model here knows the content of. Each fresh process says what it
// found; then it goes on, until it is killed too.
//
//   storm.mjs [--kills N] [--minutes M] [--seed S] [--native] [--medium file|pmem] [--lanes L]
//                          kills at random moments
//   storm.mjs --points     kills at the named points, in the native test build
//   storm.mjs --controls   children that lie: each lie must be noticed
//
// The last line is doctest's summary, for scripts/count-tests.mjs. A failure prints the seed and
// how to run it again.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Model } from './model.mjs';

const here = import.meta.dirname;
const nativeChild = path.join(here, '../../build-native/storm_child');
const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    minutes: { type: 'string' },
    seed: { type: 'string', default: '1' },
    lanes: { type: 'string', default: '2' },
    native: { type: 'boolean', default: false },
    medium: { type: 'string' },
    points: { type: 'boolean', default: false },
    controls: { type: 'boolean', default: false },
  },
});

export const POINTS = {
  file: [
    'create.before_rename',
    'open.before_adopt',
    'open.before_root',
    'open.after_root',
    'commit.before_barrier',
    'log.before_link',
    'large.before_barrier',
    'file.before_growth',
    'fold.before_block',
    'fold.before_root',
    'fold.after_root',
    'merge.before_block',
    'clean.before_move',
    'clean.after_move',
    'clean.before_retire',
    'segment.before_release',
    'close.before_clean_mark',
    'close.before_medium',
  ],
  pmem: [
    'create.before_rename',
    'open.before_adopt',
    'open.before_root',
    'open.after_root',
    'commit.before_barrier',
    'log.before_link',
    'large.before_barrier',
    'pmem.before_publish',
    'pmem.inside_root',
    'fold.before_block',
    'fold.before_root',
    'fold.after_root',
    'merge.before_block',
    'clean.before_move',
    'clean.after_move',
    'clean.before_retire',
    'segment.before_release',
    'close.before_clean_mark',
    'close.before_medium',
  ],
};

function randomFrom(seed) {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below;
  };
}

/** One pool, with the processes that use it one after the other. */
class Lane {
  model = new Model();
  generation = 0;
  kills = 0;
  ended = 0;
  commits = 0;
  wrong = [];

  constructor({ medium, native, seed, lie = '' }) {
    Object.assign(this, { medium, native, seed, lie, random: randomFrom(seed) });
    const root = medium === 'pmem' ? '/dev/shm' : (process.env.HOLDFAST_TEST_TMP ?? tmpdir());
    this.folder = mkdtempSync(path.join(root, 'hf-storm-'));
    this.pool = path.join(this.folder, 'pool');
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /**
   * Starts a process, hears it, kills it as `when` says. Returns how it ended: 'SIGKILL' or an exit
   * code.
   */
  async round({ when, point = '', limitMs = 180_000 }) {
    this.generation += 1;
    const closing =
      when.after === 'C'
        ? String(5 + Math.floor(this.random(30)))
        : point.startsWith('close')
          ? '60'
          : '0';
    const args = [
      this.pool,
      this.medium,
      String(this.generation),
      String(Math.floor(this.random(2 ** 31))),
      closing,
    ];
    const program = this.native
      ? [nativeChild, args]
      : [process.execPath, [path.join(here, 'node-child.mjs'), ...args]];
    const child = spawn(...program, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PMEM_IS_PMEM_FORCE: '1',
        HOLDFAST_POINT_KILL: point,
        HOLDFAST_STORM_LIE: this.lie,
      },
    });
    const ended = new Promise((resolve) =>
      child.on('close', (code, signal) => resolve(signal ?? code)),
    );
    let killing = false;
    const kill = (afterMs) => {
      if (killing) return;
      killing = true;
      sleep(afterMs).then(() => child.kill('SIGKILL'));
    };
    const hung = setTimeout(() => {
      this.wrong.push(`process hangs (${limitMs} ms)`);
      child.kill('SIGKILL');
    }, limitMs);
    let stderr = '';
    child.stderr.on('data', (chunk) => (stderr += chunk));
    this.#hear(child, when, kill);
    const how = await ended;
    clearTimeout(hung);
    if (how === 'SIGKILL') this.kills += 1;
    else if (how === 0) this.ended += 1;
    else this.wrong.push(`process ended with ${how}: ${stderr.slice(-2000)}`);
    return how;
  }

  #hear(child, when, kill) {
    const found = new Map();
    // A line without its end was never finished; what it says had not begun.
    let rest = '';
    let met = 0;
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        if (line[0] === 'S') {
          const [, key, value] = line.split(' ');
          found.set(key, value);
        } else if (line[0] === 'R') {
          this.wrong.push(...this.model.compare(found));
        } else if (line[0] === 'X') this.wrong.push(line);
        else {
          if (line[0] === 'A') this.commits += 1;
          this.model.hear(line);
        }
        if (line[0] === when.after && ++met >= (when.nth ?? 1)) kill(when.ms);
      }
    });
  }

  #when() {
    const dice = this.random(10);
    if (dice < 2) return { after: 'O', ms: this.random(12) };
    if (dice < 3) return { after: 'C', ms: this.random(6) };
    return { after: 'A', nth: 1 + Math.floor(this.random(80)), ms: this.random(4) };
  }

  /** Random kills until there were `count`; a last process looks, and closes in order. */
  async storm(count) {
    while (this.kills < count && this.wrong.length === 0 && Date.now() < until)
      await this.round({ when: this.#when() });
    if (this.wrong.length === 0) await this.round({ when: { after: 'none' }, point: 'close.none' });
  }
}

function report(lane, what) {
  if (lane.wrong.length === 0) return true;
  console.log(`FAILED: ${what}, generation ${lane.generation} of the pool, seed ${lane.seed}:`);
  for (const wrong of lane.wrong.slice(0, 10)) console.log(`  ${wrong}`);
  const again = `--kills ${lane.kills + 1} --seed ${lane.seed} --medium ${lane.medium} --lanes 1${lane.native ? ' --native' : ''}`;
  console.log(`  again: node test/storm/storm.mjs ${again}`);
  return false;
}

const until = options.minutes ? Date.now() + Number(options.minutes) * 60_000 : Infinity;
const media = () =>
  options.medium ? [options.medium] : existsSync('/dev/shm') ? ['file', 'pmem'] : ['file'];

async function storms() {
  const kills = options.minutes ? Infinity : Number(options.kills);
  const lanesEach = Math.max(1, Number(options.lanes) / media().length);
  const lanes = media().flatMap((medium) =>
    Array.from(
      { length: lanesEach },
      (_, i) =>
        new Lane({
          medium,
          native: options.native,
          seed: Number(options.seed) + i * 1000 + (medium === 'pmem' && !options.medium ? 500 : 0),
        }),
    ),
  );
  const begun = Date.now();
  await Promise.all(lanes.map((lane) => lane.storm(Math.ceil(kills / lanes.length))));
  let failed = 0;
  for (const lane of lanes) {
    const good = report(lane, `${lane.native ? 'native' : 'Node'} processes on ${lane.medium}`);
    console.log(
      `storm: ${lane.native ? 'native' : 'Node'} on ${lane.medium}: ${lane.kills} kills, ${lane.ended} ended by themselves, ` +
        `${lane.commits} commits acknowledged, ${lane.wrong.length} wrong`,
    );
    if (!good) failed += 1;
    lane.remove();
  }
  console.log(`storm: ${((Date.now() - begun) / 1000).toFixed(1)} s`);
  return [lanes.length - failed, failed, 0];
}

/**
 * At a point, the nth time it is met: the process must die there; the next must find all in order.
 */
async function atPoint(lane, point, nth) {
  // One that lives to make the pool, unless what is to be interrupted is making it, or its growth:
  // an older pool reuses its space.
  if (!point.startsWith('create') && point !== 'file.before_growth')
    await lane.round({ when: { after: 'R', ms: 30 } });
  const how = await lane.round({ when: { after: 'none' }, point: `${point}:${nth}` });
  if (how !== 'SIGKILL')
    lane.wrong.push(`the point ${point} was not met ${nth} times (ended with ${how})`);
  await lane.round({ when: { after: 'R', ms: 10 } });
  await lane.round({ when: { after: 'none' }, point: 'close.none' });
}

/** At each point: the first time it is met, and a later one, on pools of their own. */
async function points() {
  let passed = 0;
  let failed = 0;
  await Promise.all(
    media().map(async (medium) => {
      for (const point of POINTS[medium]) {
        let good = true;
        for (const nth of point.startsWith('create') ||
        point.startsWith('open') ||
        point.startsWith('close')
          ? [1]
          : [1, 3]) {
          const lane = new Lane({ medium, native: true, seed: Number(options.seed) });
          await atPoint(lane, point, nth);
          good = report(lane, `point ${point} on ${medium}`) && good;
          lane.remove();
        }
        if (good) passed += 1;
        else failed += 1;
      }
    }),
  );
  console.log(`points: ${passed + failed} points on ${media().join(' and ')}`);
  return [passed, failed, 0];
}

async function controls() {
  let passed = 0;
  let failed = 0;
  for (const lie of ['early', 'extra', 'torn', 'lost']) {
    const lane = new Lane({ medium: 'file', native: true, seed: 7, lie });
    await lane.storm(40);
    console.log(
      `control ${lie}: ${lane.wrong.length > 0 ? `caught after ${lane.kills} kills (${lane.wrong[0]})` : 'NOT caught'}`,
    );
    if (lane.wrong.length > 0) passed += 1;
    else failed += 1;
    lane.remove();
  }
  return [passed, failed, 0];
}

const [passed, failed, skipped] = await (options.points
  ? points()
  : options.controls
    ? controls()
    : storms());
console.log(
  `[doctest] test cases: ${passed + failed + skipped} | ${passed} passed | ${failed} failed | ${skipped} skipped`,
);
process.exit(failed === 0 ? 0 : 1);
