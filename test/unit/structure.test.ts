/**
 * The house rules that keep themselves: arrows point one way, some names live in one place only,
 * files and functions of public TypeScript keep to what CONTRIBUTING.md says. Each rule is also
 * shown to catch a breach.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.resolve(__dirname, '../..');
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(Boolean);
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const native = tracked.filter((file) => /^native\/.*\.(h|cc)$/.test(file));
const typescript = tracked.filter((file) => /^lib\/.*\.ts$/.test(file));

interface Source {
  file: string;
  text: string;
}
const sources = (files: string[]): Source[] => files.map((file) => ({ file, text: read(file) }));

// Each folder of native/ may include itself and what stands to its left of it here.
const ladder: Record<string, string[]> = {
  base: [],
  format: ['base'],
  medium: ['base', 'format'],
  log: ['base', 'format', 'medium'],
  index: ['base', 'format', 'medium'],
  engine: ['base', 'format', 'medium', 'log', 'index'],
  binding: ['base', 'engine'],
};
// Single headers beyond that: format/ describes segments and roots, whose types are the medium's
// contract; binding/ hands on what may be asked of a medium.
const seams = new Set(['format medium/medium.h', 'binding medium/open_medium.h']);

// The folders inside native/engine, lowest first; ARCHITECTURE.md draws them. Each may include
// itself, what is named here, and the door: the headers beside the folders, which know none of
// them.
const engineFolders: Record<string, string[]> = {
  state: [],
  space: ['state'],
  read: ['state'],
  commit: ['state', 'space', 'read'],
  fold: ['state', 'space', 'read', 'commit'],
  clean: ['state', 'space', 'commit', 'fold'],
  damage: ['state', 'read'],
  recover: ['state', 'space', 'commit'],
  feed: ['state', 'read', 'commit'],
  maintain: ['state', 'space', 'commit', 'fold', 'clean'],
  pool: [
    'state',
    'space',
    'read',
    'commit',
    'fold',
    'clean',
    'damage',
    'recover',
    'feed',
    'maintain',
  ],
  read_only: ['state', 'pool'],
  copies: ['state', 'read', 'pool'],
};
const opens = ['pool', 'read_only']; // engine/pool.cc
// What leaves the engine beside the door.
const leaves = /^engine\/(\w+\.h|copies\/(backup|restore|resize)\.h|damage\/salvage\.h)$/;

function engineBreaches(files: Source[]): string[] {
  const folderIn = (file: string): string | undefined =>
    /^(?:native\/)?engine\/(\w+)\//.exec(file)?.[1];
  return files.flatMap(({ file, text }) => {
    const folder = folderIn(file);
    const inside = file.startsWith('native/engine/');
    const allowed = (included: string): boolean => {
      if (!inside) return leaves.test(included);
      const target = folderIn(included);
      if (target === undefined || target === folder) return true;
      if (folder === undefined) return file.endsWith('.cc') && opens.includes(target);
      return engineFolders[folder]?.includes(target) ?? false;
    };
    return [...text.matchAll(/^#include "(engine\/[^"]+)"/gm)]
      .filter(([, included]) => !allowed(included!))
      .map(([, included]) => `${file} includes ${included}`);
  });
}

function nativeBreaches(files: Source[]): string[] {
  const breaches: string[] = [];
  for (const { file, text } of files) {
    const folder = file.split('/')[1]!;
    for (const [, included] of text.matchAll(/^#include "([^"]+)"/gm)) {
      if (included!.startsWith('medium/pmem/') && folder !== 'medium')
        breaches.push(`${file} includes ${included}`);
      const target = included!.split('/')[0]!;
      if (target === folder || seams.has(`${folder} ${included}`)) continue;
      if (!ladder[folder]?.includes(target)) breaches.push(`${file} includes ${included}`);
    }
  }
  return breaches;
}

const code = (text: string): string =>
  text.replace(/\/\/.*$/gm, '').replace(/\/\*[\s\S]*?\*\//g, '');

const onePlace: { name: RegExp; allowed: RegExp }[] = [
  {
    name: /\bpmemobj_\w+\s*\(|\bpmem_(memcpy|memmove|memset|persist|flush|drain|msync|deep_\w+|map_file|unmap|is_pmem)\s*\(/,
    allowed: /^native\/medium\/pmem\//,
  },
  { name: /\b(pwrite|fdatasync|mmap|ftruncate|fallocate)\s*\(/, allowed: /^native\/medium\// },
  { name: /\b_mm_sfence|\bclwb\b|\bsfence\b/, allowed: /^native\/medium\// },
  { name: /\bnapi_|Napi::|node_api\.h/, allowed: /^native\/binding\// },
];

function strayNames(files: Source[]): string[] {
  return files.flatMap(({ file, text }) =>
    onePlace
      .filter(({ name, allowed }) => !allowed.test(file) && name.test(code(text)))
      .map(({ name }) => `${file} uses ${name.source}`),
  );
}

// lib/: its layers, lowest first; a file imports what is of its own layer or below. Two on one line
// know nothing of each other.
const layers: RegExp[][] = [
  [/^lib\/(types\/[^/]+|errors|not-loaded)\.ts$/],
  [/^lib\/native-binding\.ts$/],
  [/^lib\/(?!(?:index|holdfast|langgraph)\.ts$)[^/]+\.ts$/],
  [/^lib\/checkpoint\//],
  [/^lib\/run\//],
  [/^lib\/(index|holdfast)\.ts$/],
  [/^lib\/(adapters\/|langgraph\.ts$)/, /^lib\/bench\//],
  [/^lib\/cli\//],
];

function mayImport(file: string, target: string): boolean {
  const layerOf = (one: string): number =>
    layers.findIndex((layer) => layer.some((pattern) => pattern.test(one)));
  const placeOf = (one: string): RegExp | undefined =>
    layers.flat().find((pattern) => pattern.test(one));
  return placeOf(file) === placeOf(target) || layerOf(target) < layerOf(file);
}

function importsOf({ file, text }: Source): string[] {
  return [...text.matchAll(/(?:\bfrom|\bimport\(|^import|\brequire\()\s*'(\.[^']+)'/gm)].map(
    ([, target]) => {
      const base = path.posix.join(path.posix.dirname(file), target!.replace(/\.js$/, ''));
      return (
        [`${base}.ts`, `${base}/index.ts`].find((one) => tracked.includes(one)) ?? `${base}.ts`
      );
    },
  );
}

const importBreaches = (files: Source[]): string[] =>
  files.flatMap((source) =>
    importsOf(source)
      .filter((target) => !mayImport(source.file, target))
      .map((target) => `${source.file} imports ${target}`),
  );

/**
 * Files that import each other, types too, in however many steps: each way round, from the file
 * that closes it.
 */
function circles(files: Source[]): string[] {
  const graph = new Map(files.map((source) => [source.file, importsOf(source)]));
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, way: string[]): void => {
    const at = way.indexOf(file);
    if (at >= 0) found.push([...way.slice(at), file].join(' -> '));
    if (at >= 0 || done.has(file)) return;
    for (const target of graph.get(file) ?? []) visit(target, [...way, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return found;
}

describe('structure', () => {
  it('native arrows point down', () => {
    expect(nativeBreaches(sources(native))).toEqual([]);
    for (const [file, included] of [
      ['base/x.h', 'engine/pool.h'],
      ['base/x.h', 'medium/medium.h'],
      ['log/x.cc', 'index/node.h'],
      ['engine/x.cc', 'medium/pmem/pmem_heap.h'],
      ['binding/x.cc', 'medium/medium.h'],
    ]) {
      expect(
        nativeBreaches([{ file: `native/${file}`, text: `#include "${included}"` }]),
      ).toHaveLength(1);
    }
  });

  it('so they do between the folders of the engine, which are all drawn', () => {
    expect(engineBreaches(sources(native))).toEqual([]);
    for (const [file, included] of [
      ['engine/pool.h', 'engine/state/feed_tail.h'],
      ['engine/pool.cc', 'engine/copies/backup.h'],
      ['engine/state/x.h', 'engine/commit/batch.h'],
      ['engine/space/x.cc', 'engine/read/region_reader.h'],
      ['engine/damage/x.cc', 'engine/pool/pool_impl.h'],
      ['engine/pool/x.cc', 'engine/read_only/read_only_pool.h'],
      ['engine/new/x.h', 'engine/state/health.h'],
      ['binding/x.cc', 'engine/pool/pool_impl.h'],
    ])
      expect(
        engineBreaches([{ file: `native/${file}`, text: `#include "${included}"` }]),
      ).toHaveLength(1);
    const folders = native.flatMap((file) => /^native\/engine\/(\w+)\//.exec(file)?.[1] ?? []);
    expect([...new Set(folders)].sort()).toEqual(Object.keys(engineFolders).sort());
    const picture = /```\n(.*the door[^`]*)```/.exec(read('ARCHITECTURE.md'))![1]!.split('\n');
    const drawn = (folder: string): number =>
      picture.findIndex((line) =>
        line
          .slice(0, 37)
          .split(/[^\w.]+/)
          .includes(folder),
      );
    for (const [folder, below] of Object.entries(engineFolders)) {
      expect(drawn(folder)).toBeGreaterThan(0);
      for (const one of below) expect(drawn(one)).toBeGreaterThan(drawn(folder));
    }
  });

  it('names that belong to one place occur only there', () => {
    expect(strayNames(sources(native))).toEqual([]);
    expect(strayNames([{ file: 'native/engine/x.cc', text: 'fdatasync(fd);' }])).toHaveLength(1);
    expect(strayNames([{ file: 'native/engine/x.cc', text: '// fdatasync(fd);' }])).toHaveLength(0);
  });

  it('the addon is required in one file', () => {
    const requiring = sources(typescript).filter(({ text }) =>
      /from 'bindings'|require\('bindings'\)|\.node['"`]/.test(code(text)),
    );
    expect(requiring.map(({ file }) => file)).toEqual(['lib/native-binding.ts']);
  });

  it('TypeScript arrows point down', () => {
    expect(importBreaches(sources(typescript))).toEqual([]);
    for (const [file, text] of [
      ['lib/pool.ts', "import { x } from './run/index.js';"],
      ['lib/checkpoint/x.ts', "import type { X } from '../run/types';"],
      ['lib/bench/x.ts', "import '../adapters/langgraph/store';"],
      ['lib/types/index.ts', "type X = import('../pool').Pool;"],
    ] as const) {
      expect(importBreaches([{ file, text }])).toHaveLength(1);
    }
  });

  it('TypeScript files do not import each other in a circle', () => {
    expect(circles(sources(typescript))).toEqual([]);
    for (const back of ["import { x } from './pool';", "import type { Y } from './pool';"])
      expect(
        circles([
          { file: 'lib/pool.ts', text: "import './batch';" },
          { file: 'lib/batch.ts', text: back },
        ]),
      ).toEqual(['lib/pool.ts -> lib/batch.ts -> lib/pool.ts']);
  });

  // Layout is compared by format.test.ts; left are comments, and texts that nothing may break.
  it('no file is longer than 600 lines; comments keep to 100 columns, a text in quotes may reach 160', () => {
    const tooLong = (file: string, line: string): boolean =>
      line.length > (/^\s*(\/\/|\/\*|\*)/.test(line) || /\.(h|cc)$/.test(file) ? 100 : 160);
    const wrong: string[] = [];
    for (const { file, text } of sources(
      tracked.filter((one) =>
        /^(native|lib|test|bench|scripts|examples)\/.*\.(h|cc|ts|mts|mjs|cjs|js|sh)$/.test(one),
      ),
    )) {
      const lines = text.split('\n');
      if (lines.length > 600) wrong.push(`${file}: ${lines.length} lines`);
      lines.forEach(
        (line, i) => tooLong(file, line) && wrong.push(`${file}:${i + 1}: ${line.length} columns`),
      );
    }
    expect(wrong).toEqual([]);
    expect(tooLong('lib/x.ts', `// ${'x'.repeat(98)}`)).toBe(true);
    expect(tooLong('lib/x.ts', `  const x = '${'x'.repeat(98)}'`)).toBe(false);
  });

  it('every file says at its top what it is', () => {
    const files = [...native, ...typescript];
    const spokenFor = (file: string): boolean =>
      file.endsWith('.cc') && files.includes(file.replace(/cc$/, 'h'));
    const mute = sources(files).filter(
      ({ file, text }) => !spokenFor(file) && !/^(#!.*\n)?(\/\/|\/\*)/.test(text),
    );
    expect(mute.map(({ file }) => file)).toEqual([]);
  });

  it('every native source is in exactly one list', () => {
    const listed = ['sources', 'sources-pmem', 'sources-binding', 'sources-test']
      .flatMap((list) => read(`native/${list}.txt`).split('\n'))
      .filter((line) => line && !line.startsWith('#'))
      .map((line) => `native/${line}`);
    const programs = native.filter((file) => /_main\.cc$/.test(file));
    expect([...listed, ...programs].sort()).toEqual(
      native.filter((file) => file.endsWith('.cc')).sort(),
    );
  });

  it('a source file that a comment or a document names is there', () => {
    const named =
      /(?<![\w/.-])((?:native|lib|engine|medium|log|index|format)\/[\w/-]+\.(?:h|cc|ts))\b/g;
    const there = new Set([
      ...native.map((file) => file.slice('native/'.length)),
      ...native,
      ...typescript,
    ]);
    const missing = (text: string): string[] =>
      [...text.matchAll(named)].map(([, name]) => name!).filter((name) => !there.has(name));
    const wrong = sources(
      tracked.filter((file) =>
        /^(native|lib)\/.*\.(h|cc|ts)$|^[^/]+\.md$|^docs\/.*\.md$/.test(file),
      ),
    ).flatMap(({ file, text }) => missing(text).map((name) => `${file} names ${name}`));
    expect(wrong).toEqual([]);
    expect(missing('see `native/engine/pool_impl.h`')).toHaveLength(1);
  });

  it('no TODO without an issue, no machine path, no registry host', () => {
    const wrong = sources(
      tracked.filter(
        (file) => !/package-lock\.json$|\.gz$|^test\/fuzz\/corpus|structure\.test/.test(file),
      ),
    ).filter(({ text }) =>
      /\bTODO\b(?!.*#\d)|registry\.npmjs|deb\.debian|\/work\/(main|w-|shared)/.test(text),
    );
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });
});
