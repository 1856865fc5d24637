// The region storm: a process that commits 8-byte region writes, 100 to a commit together with a key, is killed again and again. After
// each kill the pool holds the state after some commit, all of it, and no durable commit is lost.
//
//   node test/storm/regions.mjs [--writes 1000000] [--medium file|pmem] [--folder DIR] [--seed N]
//
// Ends with 0 if all held. HOLDFAST_STORM_LIE=two-commits makes the child commit the key by itself: then it must end with 1.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const given = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const medium = given('medium', 'file');
const commits = Math.ceil(Number(given('writes', 1_000_000)) / 100);
let seed = Number(given('seed', Date.now() % 2 ** 31));
const folder = mkdtempSync(join(given('folder', medium === 'pmem' ? '/dev/shm' : tmpdir()), 'holdfast-regions-'));
const path = join(folder, 'pool');
const violations = [];
let kills = 0;
let durable = 0;
let done = false;

function random(below) {
  seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
  return (seed >>> 8) % below;
}

function life() {
  return new Promise((resolve) => {
    const env = { ...process.env, ...(medium === 'pmem' ? { PMEM_IS_PMEM_FORCE: '1' } : {}) };
    const child = spawn(process.execPath, [new URL('region-child.mjs', import.meta.url).pathname, path, medium, String(commits)], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // Killed so many acknowledgements after it has looked at the pool, and then at any moment.
    let left = 1 + random(Math.max(2, Math.floor(commits / 12)));
    let killed = false;
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const [kind, number] = line.split(' ');
      if (kind === 'W') violations.push(line);
      else if (kind === 'D') done = true;
      else if (kind === 'A') durable = Number(number);
      else if (kind === 'S' && Number(number) < durable) violations.push(`commit ${durable} was durable, ${number} are left`);
      if ((kind === 'A' || kind === 'S') && --left === 0 && !killed) {
        killed = true;
        setTimeout(() => child.kill('SIGKILL'), random(15));
      }
    });
    let code;
    child.once('exit', (ended, signal) => {
      if (signal === 'SIGKILL') kills += 1;
      code = ended;
    });
    child.once('close', () => {
      if (code !== null && code !== 0) violations.push(`the child ended with ${code}`);
      resolve();
    });
  });
}

try {
  while (!done && violations.length === 0) await life();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const violation of violations.slice(0, 10)) console.log(`VIOLATED: ${violation}`);
console.log(`region storm: ${commits * 100} writes of 8 bytes in ${commits} commits on ${medium}, ${kills} kills, ${violations.length} violations`);
process.exit(violations.length === 0 ? 0 : 1);
