// Builds lib/ into dist/: tsc makes CommonJS; each entry point also gets an ES module that only
// re-exports it, so that both kinds of users share one instance of every class.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const entries = ['index', 'langgraph']; // those that lib/ has
// An ES module that is no re-export: LangGraph comes in two builds with classes of their own, and
// each side takes its own.
const ownModules = {
  langgraph: `import * as checkpoint from '@langchain/langgraph-checkpoint';
import { load } from '@langchain/core/load';
import adapter from './adapters/langgraph/index.js';

export const { HoldfastSaver, HoldfastStore, HoldfastCache, durableTool } = adapter.makeLangGraph({ checkpoint, load });
`,
};
const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const dist = path.join(root, 'dist');
const require = createRequire(import.meta.url);

function compile() {
  const manifest = require.resolve('typescript/package.json');
  const tsc = path.join(path.dirname(manifest), JSON.parse(readFileSync(manifest, 'utf8')).bin.tsc);
  rmSync(dist, { recursive: true, force: true });
  execFileSync(process.execPath, [tsc, '-p', path.join(root, 'tsconfig.json')], {
    stdio: 'inherit',
    cwd: root,
  });
}

// The names a compiled module exports, read from its text: it may not be loadable yet (no addon
// built).
function exportedNames(file, seen = new Set()) {
  const names = new Set();
  if (seen.has(file)) return names;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, name] of text.matchAll(/^\s*Object\.defineProperty\(exports, "([\w$]+)"/gm))
    names.add(name);
  for (const [line] of text.matchAll(/^\s*exports\.[\w$]+ = .*$/gm)) {
    for (const [, name] of line.matchAll(/exports\.([\w$]+) = /g)) names.add(name);
  }
  for (const [, from] of text.matchAll(/__exportStar\(require\("(\.[^"]+)"\), exports\)/g)) {
    for (const name of exportedNames(path.join(path.dirname(file), `${from}.js`), seen))
      names.add(name);
  }
  names.delete('__esModule');
  return names;
}

function writeEntry(entry) {
  const compiled = path.join(dist, `${entry}.js`);
  if (!existsSync(compiled)) {
    if (entry === 'index') throw new Error('lib/index.ts was not compiled');
    return;
  }
  writeFileSync(path.join(dist, `${entry}.d.mts`), `export * from './${entry}.js';\n`);
  if (ownModules[entry] !== undefined) {
    writeFileSync(path.join(dist, `${entry}.mjs`), ownModules[entry]);
    return;
  }
  const names = [...exportedNames(compiled)].sort();
  if (names.length === 0) throw new Error(`dist/${entry}.js exports nothing`);
  // By name, not `export *`: a name that Node does not see in the CommonJS text is then an error,
  // not silently absent.
  writeFileSync(
    path.join(dist, `${entry}.mjs`),
    `export {\n  ${names.join(',\n  ')},\n} from './${entry}.js';\n`,
  );
}

try {
  compile();
} catch {
  process.exit(1); // tsc has said why
}
for (const entry of entries) writeEntry(entry);
const cli = path.join(dist, 'cli', 'main.js');
if (existsSync(cli)) chmodSync(cli, 0o755);
