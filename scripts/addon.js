// Builds the addons (build/Release) with node-gyp, and notes beside them what they were built from.
//   addon.js               as make does it: what has changed
//   addon.js --if-needed   nothing, where they were built from these sources with the libraries
//                          that are here now
// The second is the package's install script, which npx runs in a checkout too: there everything is
// built already. HOLDFAST_PMEM=0 and HOLDFAST_XXHASH=0: as in gyp.js.
'use strict';
const { execFileSync, spawnSync } = require('node:child_process');
const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const root = path.join(__dirname, '..');
const release = path.join(root, 'build', 'Release');
const note = path.join(release, 'built-from.json');

/**
 * Of everything a build reads, and of this machine's libraries. Node-API makes an addon good for
 * any Node.js.
 */
function inputs() {
  const hash = createHash('sha256');
  const files = fs
    .readdirSync(path.join(root, 'native'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath ?? entry.path, entry.name)));
  for (const file of ['binding.gyp', 'scripts/gyp.js', ...files.sort()]) {
    hash
      .update(`${file}\0`)
      .update(fs.readFileSync(path.join(root, file)))
      .update('\0');
  }
  const have = (what) =>
    execFileSync(process.execPath, [path.join(__dirname, 'gyp.js'), 'have', what], {
      encoding: 'utf8',
    }).trim();
  return {
    sources: hash.digest('hex'),
    pmem: have('pmem'),
    xxhash: have('xxhash'),
    cpu: process.arch,
  };
}

function isBuilt(from) {
  const built =
    from.pmem === '1'
      ? ['holdfast_file.node', 'holdfast_pmem.node', 'holdfast_pmem_probe']
      : ['holdfast_file.node'];
  return (
    fs.existsSync(note) &&
    fs.readFileSync(note, 'utf8') === JSON.stringify(from) &&
    built.every((file) => fs.existsSync(path.join(release, file)))
  );
}

/**
 * What a build needs and is not here, by the names of Debian's packages. node-gyp says it too, in
 * forty lines.
 */
function missing() {
  const works = (command, ...args) =>
    spawnSync(command, args, { input: 'int main() {}', stdio: ['pipe', 'ignore', 'ignore'] })
      .status === 0;
  const [compiler, ...first] = (process.env.CXX || 'g++').split(' ').filter(Boolean);
  const pythons = [
    process.env.npm_config_python,
    process.env.NODE_GYP_FORCE_PYTHON,
    process.env.PYTHON,
    'python3',
    'python',
  ].filter(Boolean);
  return [
    ...(works(compiler, ...first, '-std=c++20', '-fsyntax-only', '-x', 'c++', '-') ? [] : ['g++']),
    ...(works(process.env.MAKE || 'make', '--version') ? [] : ['make']),
    ...(pythons.some((python) => works(python, '--version')) ? [] : ['python3']),
  ];
}

/**
 * npm and pnpm tell where theirs is. Yarn does not, and has a node-gyp among its commands that only
 * looks for one in the project; there it is npm's, which comes with Node.js.
 */
function nodeGyp() {
  const { npm_config_node_gyp: told, npm_execpath: manager = '' } = process.env;
  const npms = [
    path.join(path.dirname(process.execPath), '..', 'lib', 'node_modules', 'npm'),
    path.join(path.dirname(manager), '..'),
  ].map((npm) => path.join(npm, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js'));
  const project = () => {
    try {
      return require.resolve('node-gyp/bin/node-gyp.js', {
        paths: [process.env.PROJECT_CWD || process.env.INIT_CWD || root],
      });
    } catch {
      return undefined;
    }
  };
  const script = [told, project(), ...npms].find((file) => file && fs.existsSync(file));
  return script === undefined ? ['node-gyp'] : [process.execPath, script];
}

process.chdir(root);
const from = inputs();
if (process.argv.includes('--if-needed') && isBuilt(from)) process.exit(0);
const lacking = missing();
if (lacking.length > 0) {
  console.error(
    `holdfast: its native part cannot be compiled here, for want of a C++20 compiler, make or python3. Missing: ${lacking.join(', ')}`,
  );
  console.error(
    `holdfast: on Debian or Ubuntu: apt-get install ${lacking.join(' ')}; then install again, or npm rebuild holdfast`,
  );
  process.exit(1);
}
fs.rmSync(note, { force: true });
const [command, ...first] = nodeGyp();
const { status, error } = spawnSync(command, [...first, 'configure', 'build'], {
  stdio: 'inherit',
});
if (error)
  console.error(
    `holdfast: there is no node-gyp (${error.message}): run this through npm, which brings it along, or install node-gyp in the project`,
  );
if (status === 0) {
  fs.writeFileSync(note, JSON.stringify(from));
  // Where it is a dependency nobody links with the objects again, and they are most of what it
  // takes.
  const objects = ['obj.target', '.deps', 'holdfast_core.a'].map((name) =>
    path.join(release, name),
  );
  if (root.split(path.sep).includes('node_modules'))
    objects.forEach((object) => fs.rmSync(object, { recursive: true, force: true }));
}
process.exit(status ?? 1);
