/**
 * The house rules that keep themselves: arrows point one way, some names live in one place only, files and functions of public
 * TypeScript keep to what CONTRIBUTING.md says. Each rule is also shown to catch a breach.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

const root = path.resolve(__dirname, '../..');
const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
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
// format/ describes segments and roots, whose types are the medium's contract.
const seam = new Set(['medium/medium.h']);

function nativeBreaches(files: Source[]): string[] {
  const breaches: string[] = [];
  for (const { file, text } of files) {
    const folder = file.split('/')[1]!;
    for (const [, included] of text.matchAll(/^#include "([^"]+)"/gm)) {
      const target = included!.split('/')[0]!;
      if (target === folder || seam.has(included!)) continue;
      if (folder === 'binding' && included === 'medium/open_medium.h') continue;
      if (!ladder[folder]?.includes(target)) breaches.push(`${file} includes ${included}`);
    }
  }
  return breaches;
}

const code = (text: string): string => text.replace(/\/\/.*$/gm, '').replace(/\/\*[\s\S]*?\*\//g, '');

const onePlace: { name: RegExp; allowed: RegExp }[] = [
  { name: /\bpmemobj_\w+\s*\(|\bpmem_(memcpy|memmove|memset|persist|flush|drain|msync|deep_\w+|map_file|unmap|is_pmem)\s*\(/, allowed: /^native\/medium\/pmem\// },
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

// lib/: the first folder or file of each layer, lowest first. A file imports only what is not above it.
const layers: [RegExp, number][] = [
  [/^lib\/(types|errors)\.ts$/, 0],
  [/^lib\/native-binding\.ts$/, 1],
  [/^lib\/bench\//, 5],
  [/^lib\/(cli)\//, 6],
  [/^lib\/(adapters\/|langgraph\.ts$)/, 5],
  [/^lib\/(index|holdfast)\.ts$/, 4],
  [/^lib\/(run|checkpoint)\//, 3],
  [/^lib\/[^/]+\.ts$/, 2],
];
const layerOf = (file: string): number => layers.find(([pattern]) => pattern.test(file))?.[1] ?? 2;

function importBreaches(files: Source[]): string[] {
  const breaches: string[] = [];
  for (const { file, text } of files) {
    for (const [, target] of text.matchAll(/from '(\.[^']+)'/g)) {
      const base = path.posix.join(path.posix.dirname(file), target!.replace(/\.js$/, ''));
      const resolved = [`${base}.ts`, `${base}/index.ts`].find((one) => tracked.includes(one)) ?? `${base}.ts`;
      if (layerOf(resolved) > layerOf(file)) breaches.push(`${file} imports ${resolved}`);
    }
  }
  return breaches;
}

describe('structure', () => {
  it('native arrows point down', () => {
    expect(nativeBreaches(sources(native))).toEqual([]);
    const breach = { file: 'native/base/x.h', text: '#include "engine/pool.h"' };
    expect(nativeBreaches([breach])).toHaveLength(1);
  });

  it('names that belong to one place occur only there', () => {
    expect(strayNames(sources(native))).toEqual([]);
    expect(strayNames([{ file: 'native/engine/x.cc', text: 'fdatasync(fd);' }])).toHaveLength(1);
    expect(strayNames([{ file: 'native/engine/x.cc', text: '// fdatasync(fd);' }])).toHaveLength(0);
  });

  it('the addon is required in one file', () => {
    const requiring = sources(typescript).filter(({ text }) => /from 'bindings'|require\('bindings'\)|\.node['"]/.test(code(text)));
    expect(requiring.map(({ file }) => file)).toEqual(['lib/native-binding.ts']);
  });

  it('TypeScript arrows point down', () => {
    expect(importBreaches(sources(typescript))).toEqual([]);
    const breach = { file: 'lib/pool.ts', text: "import { x } from './run/index.js';" };
    expect(importBreaches([breach])).toHaveLength(1);
  });

  it('no file is longer than 600 lines, and none has a line longer than 160 columns', () => {
    const wrong: string[] = [];
    for (const { file, text } of sources([...native, ...typescript])) {
      const lines = text.split('\n');
      if (lines.length > 600) wrong.push(`${file}: ${lines.length} lines`);
      lines.forEach((line, i) => line.length > 160 && wrong.push(`${file}:${i + 1}: ${line.length} columns`));
    }
    expect(wrong).toEqual([]);
  });

  it('every file says at its top what it is', () => {
    const files = [...native, ...typescript];
    const spokenFor = (file: string): boolean => file.endsWith('.cc') && files.includes(file.replace(/cc$/, 'h'));
    const mute = sources(files).filter(({ file, text }) => !spokenFor(file) && !/^(#!.*\n)?(\/\/|\/\*)/.test(text));
    expect(mute.map(({ file }) => file)).toEqual([]);
  });

  it('every native source is in exactly one list', () => {
    const listed = ['sources', 'sources-pmem', 'sources-binding', 'sources-test']
      .flatMap((list) => read(`native/${list}.txt`).split('\n'))
      .filter((line) => line && !line.startsWith('#'))
      .map((line) => `native/${line}`);
    const programs = native.filter((file) => /_main\.cc$/.test(file));
    expect([...listed, ...programs].sort()).toEqual(native.filter((file) => file.endsWith('.cc')).sort());
  });

  it('no TODO without an issue, no machine path, no registry host', () => {
    const wrong = sources(tracked.filter((file) => !/package-lock\.json$|\.gz$|^test\/fuzz\/corpus|structure\.test/.test(file)))
      .filter(({ text }) => /\bTODO\b(?!.*#\d)|registry\.npmjs|deb\.debian|\/work\/(main|w-|shared)/.test(text));
    expect(wrong.map(({ file }) => file)).toEqual([]);
  });
});
