#!/usr/bin/env node
// npm run test:vm: the package and its engine on emulated persistent memory and on disks that fail,
// in small guests of qemu whose power is cut. See docs/testing.md, and docs/emulated-pmem.md for
// the recipes.
//
//   node test/vm/run.mjs [name ...]   only the scenarios whose names contain one of these
//
//   HOLDFAST_VM_ACCEL=kvm     real virtualisation (default: software emulation, which every
//                             machine has)
//   HOLDFAST_VM_SEED=N        decides when the power is cut
//   HOLDFAST_VM_LANES=N       guests at once (default: 2, or 1 on one core)
//   HOLDFAST_VM=skip          skip this layer, and say so
//   HOLDFAST_SECONDS_LEFT=N   begin no scenario that would not be done in so many seconds from the
//                             start; those are counted as skipped
//
// Last line: "vm: N passed, N failed, N skipped". The same, per scenario, in build-vm/results.json.
// What a failed scenario's guests wrote is kept in build-vm/logs/.
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { faultyDisks } from './faulty-disks.mjs';
import { cache, CannotRun, prepareHost, project } from './host.mjs';
import { killAll, Machine } from './machine.mjs';
import { places } from './places.mjs';
import { powerCuts } from './power-cuts.mjs';

// The longest first, so that the lanes end together.
const FIRST = ['power-cut-nvdimm-ext4', 'native-tests-nvdimm-ext4', 'replay-nvdimm-ext4'];
const WHOLE_LAYER_SECONDS = 1200; // of a machine that is busy; a quiet one takes a quarter
const CHECK_SECONDS = 120;

const seed = Number(process.env.HOLDFAST_VM_SEED ?? 1);
const driver = path.join(project, 'build-native', 'holdfast_vm_driver');

/** Numbers in [0, 1) that follow from the seed and the scenario's name. */
function randomFrom(text) {
  let state = [...text].reduce(
    (sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0,
    seed >>> 0,
  );
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}

/** What one scenario works with. */
class Scenario {
  states = 0;
  notes = [];
  #machines = [];

  constructor(name, host) {
    this.name = name;
    this.host = host;
    this.folder = path.join(cache, 'scratch', name);
    this.log = path.join(cache, 'logs', `${name}.log`);
    this.random = randomFrom(name);
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.log, { force: true });
    mkdirSync(this.folder, { recursive: true });
  }

  note(text) {
    this.notes.push(text);
  }

  boot(device, options) {
    const machine = new Machine(this.host, device, { ...options, log: this.log });
    this.#machines.push(machine);
    return machine;
  }

  get someMachineNeverCame() {
    return this.#machines.some((machine) => !machine.find('GUEST ready'));
  }

  /**
   * The driver's verdict on a pool, on the host: how many steps are in it. In a process of its own,
   * with a limit.
   */
  driverCheck(pool, least) {
    // Here the pool is an ordinary file; libpmemobj is made to take it for what it was copied from.
    const env = { ...process.env, PMEM_IS_PMEM_FORCE: '1' };
    return new Promise((resolve, reject) => {
      execFile(
        driver,
        ['check', pool, String(least)],
        { env, timeout: CHECK_SECONDS * 1000 },
        (error, stdout, stderr) => {
          const state = stdout.match(/^STATE (\d+)$/m);
          if (!error && state) resolve(Number(state[1]));
          else
            reject(
              new Error(`${stdout.trim() || stderr.trim() || error?.message} (at least ${least})`),
            );
        },
      );
    });
  }

  /** A negative control: `body` must fail, and for this reason. */
  async mustFail(body, why) {
    let error;
    try {
      await body();
    } catch (caught) {
      error = caught;
    }
    if (!error) throw new Error('control: the planted mistake was not caught');
    if (!why.test(error.message))
      throw new Error(`control: failed for another reason: ${error.message}`);
    this.note(`caught: ${error.message.split('\n')[0].slice(0, 100)}`);
  }

  async end(passed) {
    await Promise.all(this.#machines.map((machine) => machine.cutAndWait()));
    rmSync(this.folder, { recursive: true, force: true });
    if (passed) rmSync(this.log, { force: true });
  }
}

/**
 * A guest that never reached its first program says nothing of ours: then the scenario is run once
 * more.
 */
async function runOne(name, body, host, again = false) {
  const begun = performance.now();
  const t = new Scenario(name, host);
  let failure;
  try {
    await body(t);
  } catch (error) {
    failure = error;
  }
  const unborn = failure && t.someMachineNeverCame;
  await t.end(!failure);
  if (unborn && !again) {
    console.log(`     ${name}: a guest did not come up (${failure.message}), once more`);
    return runOne(name, body, host, true);
  }
  const seconds = Math.round((performance.now() - begun) / 100) / 10;
  const said = failure
    ? `${failure.message}\n     log: ${path.relative(project, t.log)}`
    : t.notes.join('; ');
  console.log(
    `${failure ? 'FAIL' : 'ok  '} ${name.padEnd(34)} ${String(t.states).padStart(4)} states ${String(seconds).padStart(6)} s  ${said}`,
  );
  return { name, passed: !failure, states: t.states, seconds, said };
}

/** The median: what a scenario takes on this machine. */
function usualSeconds(results) {
  const sorted = results.map(({ seconds }) => seconds).sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

async function runAll(scenarios, host, begun) {
  const left = Number(process.env.HOLDFAST_SECONDS_LEFT) || Infinity;
  const lanes = Number(process.env.HOLDFAST_VM_LANES) || Math.min(2, os.cpus().length);
  const waiting = [...scenarios].sort((a, b) => FIRST.includes(b[0]) - FIRST.includes(a[0]));
  const results = [];
  const lane = async () => {
    while (
      waiting.length > 0 &&
      (performance.now() - begun) / 1000 + 1.5 * usualSeconds(results) < left
    ) {
      results.push(await runOne(...waiting.shift(), host));
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  for (const [name] of waiting)
    console.log(`skipped: ${name}: there is no time left for it; npm test -- guests runs it`);
  return { results, skipped: waiting.length };
}

function finish(results, skipped, begun) {
  const passed = results.filter((result) => result.passed).length;
  const failed = results.length - passed;
  const states = results.reduce((sum, result) => sum + result.states, 0);
  mkdirSync(cache, { recursive: true });
  writeFileSync(
    path.join(cache, 'results.json'),
    JSON.stringify({ passed, failed, skipped, states, scenarios: results }, null, 1),
  );
  console.log(
    `     ${states} states in ${Math.round((performance.now() - begun) / 1000)} s, seed ${seed}`,
  );
  console.log(`vm: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed > 0 ? 1 : 0;
}

async function main() {
  const begun = performance.now();
  const names = process.argv.slice(2);
  const scenarios = [...places, ...powerCuts, ...faultyDisks].filter(
    ([name]) => names.length === 0 || names.some((wanted) => name.includes(wanted)),
  );
  rmSync(path.join(cache, 'results.json'), { force: true });
  let host;
  try {
    if (process.env.HOLDFAST_VM === 'skip') throw new CannotRun('HOLDFAST_VM=skip');
    host = prepareHost();
  } catch (error) {
    if (!(error instanceof CannotRun)) throw error;
    console.log(`skipped: ${error.message}`);
    return finish([], scenarios.length, begun);
  }
  mkdirSync(path.join(cache, 'logs'), { recursive: true });
  console.log(
    `vm: ready after ${Math.round((performance.now() - begun) / 1000)} s, ${scenarios.length} scenarios`,
  );
  const limit = setTimeout(() => {
    console.log(`vm: not done after ${WHOLE_LAYER_SECONDS} s, all guests are cut off`);
    killAll();
    process.exit(1);
  }, WHOLE_LAYER_SECONDS * 1000);
  limit.unref();
  const { results, skipped } = await runAll(scenarios, host, begun);
  finish(results, skipped, begun);
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    killAll();
    process.exit(1);
  });
}
process.on('exit', killAll);
await main();
