/**
 * Every block of JavaScript and TypeScript in README.md and docs/ is of the API there is: all are
 * compiled, as files, in one go. Those that a user of TypeScript copies first are strict
 * TypeScript.
 */
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { saidOf } from '../helpers/compiled';
import { scratchFolder } from '../helpers/scratch';

const root = join(__dirname, '..', '..');
const folder = scratchFolder('docs-blocks');
mkdirSync(join(folder, 'node_modules', '@types'), { recursive: true });
symlinkSync(root, join(folder, 'node_modules', 'holdfast'));
symlinkSync(
  join(root, 'node_modules', '@types', 'node'),
  join(folder, 'node_modules', '@types', 'node'),
);

/**
 * What blocks that are no whole program take from around them. What is Holdfast's has its own type:
 * only then is a wrong name noticed.
 */
const AROUND = `
declare const pool: import('holdfast').Holdfast;
declare const run: import('holdfast').Run;
declare const users: import('holdfast').Keyspace<string, unknown>, memory: import('holdfast').Keyspace<string, unknown>;
declare const blobs: import('holdfast').Keyspace<string, Uint8Array>;
declare const vectors: import('holdfast').Region, counters: import('holdfast').Region;
declare const snapshot: import('holdfast').Snapshot;
declare const durableTool: typeof import('holdfast/langgraph').durableTool;
declare const open: typeof import('holdfast').open;
declare const signal: AbortSignal, row: number, embedding: Float32Array, copy: any, cache: any, builder: any, input: any, bank: any;
declare const tool: any, interrupt: any, schema: any, charge: any;
`;

const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

function filesOf(page: string): string[] {
  const text = readFileSync(join(root, page), 'utf8');
  return [...text.matchAll(/^```(js|ts)\n(.*?)^```$/gms)].map(([, language, code], i) => {
    const file = join(folder, `${page.replace(/\W/g, '-')}-${i}.m${language}`);
    writeFileSync(file, /^(import|export) /m.test(code!) ? code! : `${code}\nexport {};\n`);
    return file;
  });
}

/** Whole programs of README.md and docs/runs.md, and what is TypeScript in docs/recipes.md. */
function strictFiles(): string[] {
  const from: [page: string, languages: string][] = [
    ['README.md', 'js'],
    ['docs/runs.md', 'js'],
    ['docs/recipes.md', 'ts'],
  ];
  return from.flatMap(([page, language]) => {
    const text = readFileSync(join(root, page), 'utf8');
    const blocks = text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'));
    return [...blocks].map(([, code], i) => {
      const file = join(folder, `strict-${page.replace(/\W/g, '-')}-${i}.mts`);
      writeFileSync(file, code!);
      return file;
    });
  });
}

function compiled(files: readonly string[]): string {
  const around = join(folder, 'around.d.ts');
  writeFileSync(around, AROUND);
  const options =
    '--allowJs --checkJs --strict false --target esnext --lib esnext --types node --module nodenext --moduleResolution nodenext';
  return saidOf([...files, around], options);
}

test('they compile', () => {
  const files = pages.flatMap(filesOf);
  expect(files.length).toBeGreaterThan(12);
  expect(compiled(files)).toBe('');
});

test('those that are copied first are strict TypeScript', () => {
  const files = strictFiles();
  expect(files.length).toBeGreaterThan(12);
  const options =
    '--strict --target es2023 --lib es2023,esnext.disposable --types node --module nodenext --moduleResolution nodenext';
  expect(saidOf(files, options)).toBe('');
});

test('a name that there is not would be noticed', () => {
  const wrong = join(folder, 'wrong.mjs');
  writeFileSync(wrong, 'await pool.runs({ statsu: "running" });\nexport {};\n');
  expect(compiled([wrong])).toMatch(/statsu/);
});
