// What binding.gyp asks while it is evaluated. Prints to stdout, needs no pkg-config.
//   gyp.js core            sources compiled once for both addons
//   gyp.js addon           sources compiled per addon: what knows whether pmem is built in, and
//                          what names the module
//   gyp.js pmem            sources of the pmem medium
//   gyp.js have pmem|xxhash   1 or 0: can this machine compile (and link) against it
//   gyp.js include         node-addon-api's headers
// Most files of a layer are compiled ten at a time, through files of includes that this writes to
// build/unity: reading the same headers again and again was most of a build. HOLDFAST_UNITY=0 in
// the environment: each by itself.
// HOLDFAST_PMEM=0 and HOLDFAST_XXHASH=0 in the environment build as if the library were not
// installed.
'use strict';
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const root = path.join(__dirname, '..');
const perAddon = new Set(['native/medium/open_medium.cc', 'native/binding/addon.cc']);
const UNITED = 10;

function list(name) {
  const file = path.join(root, 'native', name);
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => line !== '')
    .map((line) => `native/${line}`);
}

/**
 * Ten files of one layer as one that includes them; native/base has files that need flags or
 * macros of their own. As CMakeLists.txt does it.
 */
function united(files) {
  if (process.env.HOLDFAST_UNITY === '0') return files;
  const layerOf = (file) => file.split('/')[1];
  return [...new Set(files.map(layerOf))].flatMap((layer) => {
    const members = files.filter((file) => layerOf(file) === layer);
    if (layer === 'base') return members;
    return Array.from({ length: Math.ceil(members.length / UNITED) }, (_, i) => {
      const name = `build/unity/${layer}/${path.basename(members[0], '.cc')}-${i + 1}.cc`;
      writeIfNew(
        path.join(root, name),
        members
          .slice(i * UNITED, (i + 1) * UNITED)
          .map((file) => `#include "${file.slice('native/'.length)}"\n`)
          .join(''),
      );
      return name;
    });
  });
}

/** What is the same keeps its time, so that make does not compile it again. */
function writeIfNew(file, text) {
  if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === text) return;
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, text);
}

const programs = {
  pmem: {
    source:
      '#include <libpmem.h>\n#include <libpmemobj.h>\n' +
      'int main() { pmem_drain(); return pmemobj_errormsg() != nullptr; }\n',
    flags: ['-lpmemobj', '-lpmem'],
  },
  xxhash: {
    source:
      '#define XXH_INLINE_ALL\n#include <xxhash.h>\n' +
      'int main() { return XXH3_64bits("", 0) == XXH3_64bits_withSeed("", 0, 1); }\n',
    flags: [],
  },
};

// A real compile and link is the only answer that holds for every compiler and search path.
function have(what) {
  if (process.env[`HOLDFAST_${what.toUpperCase()}`] === '0') return 0;
  const [compiler, ...first] = (process.env.CXX || 'c++').split(' ').filter(Boolean);
  const split = (name) => (process.env[name] || '').split(' ').filter(Boolean);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'holdfast-gyp-'));
  try {
    const source = path.join(folder, 'probe.cc');
    fs.writeFileSync(source, programs[what].source);
    execFileSync(
      compiler,
      [
        ...first,
        ...split('CPPFLAGS'),
        ...split('CXXFLAGS'),
        source,
        '-o',
        path.join(folder, 'probe'),
        ...split('LDFLAGS'),
        ...programs[what].flags,
      ],
      { stdio: 'ignore' },
    );
    return 1;
  } catch {
    return 0;
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

const [command, argument] = process.argv.slice(2);
const all = [...list('sources.txt'), ...list('sources-binding.txt')];
const answers = {
  core: () => united(all.filter((file) => !perAddon.has(file))).join('\n'),
  addon: () => [...perAddon].join('\n'),
  pmem: () => united(list('sources-pmem.txt')).join('\n'),
  have: () => have(argument),
  include: () => path.relative(root, require('node-addon-api').include_dir) || '.',
};
if (!answers[command] || (command === 'have' && !programs[argument])) {
  console.error(`gyp.js: unknown question ${process.argv.slice(2).join(' ')}`);
  process.exit(2);
}
console.log(answers[command]());
