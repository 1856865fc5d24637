// Builds the addons (build/Release) with node-gyp, and notes beside them what they were built from.
//   addon.js               as make does it: what has changed
//   addon.js --if-needed   nothing, where they were built from these sources with the libraries that are here now
// The second is the package's install script, which npx runs in a checkout too: there everything is built already.
// HOLDFAST_PMEM=0 and HOLDFAST_XXHASH=0: as in gyp.js.
'use strict';
const { execFileSync, spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const release = path.join(root, 'build', 'Release');
const note = path.join(release, 'built-from.json');

/** Of everything a build reads, and of this machine's libraries. Node-API makes an addon good for any Node.js. */
function inputs() {
  const hash = createHash('sha256');
  const files = fs.readdirSync(path.join(root, 'native'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)));
  for (const file of ['binding.gyp', 'scripts/gyp.js', ...files.sort()]) {
    hash.update(`${file}\0`).update(fs.readFileSync(path.join(root, file))).update('\0');
  }
  const have = (what) => execFileSync(process.execPath, [path.join(__dirname, 'gyp.js'), 'have', what], { encoding: 'utf8' }).trim();
  return { sources: hash.digest('hex'), pmem: have('pmem'), xxhash: have('xxhash'), cpu: process.arch };
}

function isBuilt(from) {
  const built = from.pmem === '1' ? ['holdfast_file.node', 'holdfast_pmem.node', 'holdfast_pmem_probe'] : ['holdfast_file.node'];
  return fs.existsSync(note) && fs.readFileSync(note, 'utf8') === JSON.stringify(from)
    && built.every((file) => fs.existsSync(path.join(release, file)));
}

process.chdir(root);
const from = inputs();
if (process.argv.includes('--if-needed') && isBuilt(from)) process.exit(0);
fs.rmSync(note, { force: true });
const { status, error } = spawnSync('node-gyp', ['configure', 'build'], { stdio: 'inherit' });
if (error) console.error(`addon.js: node-gyp cannot be run (${error.message}): run this through npm, which brings it along`);
if (status === 0) fs.writeFileSync(note, JSON.stringify(from));
process.exit(status ?? 1);
