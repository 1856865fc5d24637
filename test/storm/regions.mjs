// The region storm: a process that commits 8-byte region writes, 100 to a commit together with a
// key, is killed again and again. After each kill the pool holds the state after some commit, all
// of it, and no durable commit is lost.
//
//   node test/storm/regions.mjs [--writes 1000000] [--medium file|pmem] [--folder DIR] [--seed N]
//
// On each medium there is, unless one is named. The last line is "region_storm: N passed, N
// failed[, N skipped]".
// Ends with 0 if all held. HOLDFAST_STORM_LIE=two-commits makes the child commit the key by itself:
// then it must end with 1.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const given = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const commits = Math.ceil(Number(given('writes', 1_000_000)) / 100);
let seed = Number(given('seed', Date.now() % 2 ** 31));

function random(below) {
  seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
  return (seed >>> 8) % below;
}

/** One process of the storm, until it is killed or done. */
function life(storm) {
  return new Promise((resolve) => {
    const env = { ...process.env, ...(storm.medium === 'pmem' ? { PMEM_IS_PMEM_FORCE: '1' } : {}) };
    const script = new URL('region-child.mjs', import.meta.url).pathname;
    // Killed so many acknowledgements after it has looked at the pool, and then at any moment. Far
    // behind it waits for that, so that it is not done where this process is kept from killing it.
    let left = 1 + random(Math.max(2, Math.floor(commits / 12)));
    const most = 2 * left + Math.ceil(commits / 6);
    const child = spawn(
      process.execPath,
      [script, storm.path, storm.medium, String(commits), String(most)],
      { env, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let killed = false;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const [kind, number] = line.split(' ');
      if (kind === 'W') storm.violations.push(line);
      else if (kind === 'D') storm.done = true;
      else if (kind === 'A') storm.durable = Number(number);
      else if (kind === 'S' && Number(number) < storm.durable)
        storm.violations.push(`commit ${storm.durable} was durable, ${number} are left`);
      if ((kind === 'A' || kind === 'S') && --left === 0 && !killed) {
        killed = true;
        setTimeout(() => child.kill('SIGKILL'), random(15));
      }
    });
    let code;
    child.once('exit', (ended, signal) => {
      if (signal === 'SIGKILL') storm.kills += 1;
      code = ended;
    });
    child.once('close', () => {
      if (code !== null && code !== 0) storm.violations.push(`the child ended with ${code}`);
      resolve();
    });
  });
}

/** True: nothing was violated. */
async function run(medium) {
  const folder = mkdtempSync(
    join(given('folder', medium === 'pmem' ? '/dev/shm' : tmpdir()), 'holdfast-regions-'),
  );
  const storm = {
    medium,
    path: join(folder, 'pool'),
    violations: [],
    kills: 0,
    durable: 0,
    done: false,
  };
  try {
    while (!storm.done && storm.violations.length === 0) await life(storm);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const { violations, kills } = storm;
  for (const violation of violations.slice(0, 10)) console.log(`VIOLATED: ${violation}`);
  console.log(
    `region storm: ${commits * 100} writes of 8 bytes in ${commits} commits on ${medium}, ${kills} kills, ${violations.length} violations`,
  );
  return violations.length === 0;
}

function pmemMissing() {
  if (!existsSync('/dev/shm')) return 'there is no tmpfs at /dev/shm';
  process.env.PMEM_IS_PMEM_FORCE = '1';
  return createRequire(import.meta.url)('../../dist/index.js').probe('/dev/shm/holdfast-probe')
    .builtWithPmem
    ? undefined
    : 'libpmemobj is not installed';
}

let passed = 0;
let failed = 0;
let skipped = 0;
for (const medium of given('medium') === undefined ? ['file', 'pmem'] : [given('medium')]) {
  const missing = medium === 'pmem' ? pmemMissing() : undefined;
  if (missing !== undefined) {
    console.log(`region storm: on pmem: skipped: ${missing}`);
    skipped += 1;
  } else if (await run(medium)) passed += 1;
  else failed += 1;
}
console.log(
  `region_storm: ${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
);
process.exit(failed === 0 ? 0 : 1);
