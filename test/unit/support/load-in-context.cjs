// contextWith(globals): { context, load(file) }. `load` is require, but what lies in dist/ is
// loaded into that context, as Jest does it, with `globals` beside what a realm has by itself.
function contextWith(globals) {
  const { readFileSync } = require('node:fs');
  const { createRequire, isBuiltin } = require('node:module');
  const { dirname } = require('node:path');
  const { createContext, runInContext } = require('node:vm');
  const binary = { Buffer, Uint8Array, ArrayBuffer, TextDecoder };
  const events = { AbortSignal, AbortController, performance, queueMicrotask };
  const timers = { setTimeout, clearTimeout, setInterval, clearInterval, setImmediate };
  const context = createContext({ process, ...binary, ...events, ...timers, ...globals });
  const loaded = new Map();
  function load(file) {
    if (!file.includes('/dist/')) return require(file);
    const before = loaded.get(file);
    if (before) return before.exports;
    const module = { exports: {} };
    loaded.set(file, module);
    const { resolve } = createRequire(file);
    const source = `(function (exports, require, module, __dirname) {${readFileSync(file, 'utf8')}\n})`;
    const requiring = (name) => (isBuiltin(name) ? require(name) : load(resolve(name)));
    const run = runInContext(source, context, { filename: file });
    run(module.exports, requiring, module, dirname(file));
    return module.exports;
  }
  return { context, load };
}
