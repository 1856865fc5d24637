/**
 * What a user installs: what is in the package, and what is said where its native part is missing.
 */
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import { scratchFolder } from '../helpers/scratch';

const root = join(__dirname, '..', '..');
const folder = scratchFolder('package');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  exports: object;
  bin: object;
  scripts: { prepare: string };
};

/**
 * The package without its native part, in a folder of its own; `build` is what lies there as the
 * addon.
 */
function installed(name: string, build?: string): string {
  const at = join(folder, name);
  mkdirSync(join(at, 'build', 'Release'), { recursive: true });
  cpSync(join(root, 'dist'), join(at, 'dist'), { recursive: true });
  cpSync(join(root, 'package.json'), join(at, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(at, 'node_modules'));
  if (build !== undefined) writeFileSync(join(at, 'build', 'Release', 'holdfast_file.node'), build);
  return at;
}

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  try {
    const env = { ...process.env, NO_COLOR: '1' };
    return { code: 0, ...(await promisify(execFile)(process.execPath, args, { env })) };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
}

const requiring = (at: string): Promise<{ code: number; stderr: string }> =>
  run('-e', `require(${JSON.stringify(join(at, 'dist', 'index.js'))})`);

test('installed without its install script: says how to build it, the command line too', async () => {
  const at = installed('not-built');
  const { code, stderr } = await requiring(at);
  expect(code).not.toBe(0);
  expect(stderr).toMatch(
    /not built .*"npm rebuild holdfast" .*approve-builds.*dependenciesMeta.*apt-get install g\+\+ make python3/,
  );
  const command = join(at, 'dist', 'cli', 'main.js');
  expect(await run(command, 'doctor')).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/^MODULE_NOT_FOUND: The native part.*\n$/),
  });
  expect(JSON.parse((await run(command, 'doctor', '--json')).stdout)).toMatchObject({
    error: { code: 'MODULE_NOT_FOUND' },
  });
});

test('installed without a compiler: says what to install, and no more', async () => {
  const at = installed('no-compiler');
  for (const part of ['native', 'scripts', 'binding.gyp'])
    cpSync(join(root, part), join(at, part), { recursive: true });
  const { CXX, MAKE, PYTHON, npm_config_python, NODE_GYP_FORCE_PYTHON, ...env } = process.env;
  const install = [join(at, 'scripts', 'addon.js'), '--if-needed'];
  const { code, stderr } = await promisify(execFile)(process.execPath, install, {
    env: { ...env, PATH: folder },
  }).catch((error) => error);
  expect([code, stderr.trim().split('\n').length]).toEqual([1, 2]);
  expect(stderr).toContain('apt-get install g++ make python3');
});

/**
 * Yarn does not tell where a node-gyp is, and the one among its commands only looks for one in the
 * project.
 */
test.each(['npm_config_node_gyp', 'PROJECT_CWD', 'npm_execpath'])(
  'built by the node-gyp that %s leads to, whatever is in PATH',
  async (told) => {
    const at = installed(told);
    for (const part of ['native', 'scripts', 'binding.gyp'])
      cpSync(join(root, part), join(at, part), { recursive: true });
    const manager = join(folder, `manager-of-${told}`);
    const gyp = join(manager, 'node_modules', 'node-gyp');
    mkdirSync(join(gyp, 'bin'), { recursive: true });
    writeFileSync(join(gyp, 'package.json'), '{ "name": "node-gyp" }');
    const script = join(gyp, 'bin', 'node-gyp.js');
    writeFileSync(script, "console.log('built by', __filename, ...process.argv.slice(2))");
    const yarns = join(manager, 'commands');
    mkdirSync(yarns);
    writeFileSync(join(yarns, 'node-gyp'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const { npm_config_node_gyp, npm_execpath, PROJECT_CWD, INIT_CWD, ...env } = process.env;
    const { stdout } = await promisify(execFile)(
      join(noNpmBeside(), 'node'),
      [join(at, 'scripts', 'addon.js')],
      {
        env: {
          ...env,
          PATH: `${yarns}:${env.PATH}`,
          [told]: {
            npm_config_node_gyp: script,
            PROJECT_CWD: manager,
            npm_execpath: join(manager, 'bin', 'cli.js'),
          }[told],
        },
      },
    );
    expect(stdout).toContain(`built by ${script} configure build`);
  },
);

/** A folder with this Node.js, beside which no npm lies. */
function noNpmBeside(): string {
  const bin = join(folder, 'bin');
  if (!existsSync(bin)) {
    mkdirSync(bin);
    cpSync(process.execPath, join(bin, 'node'));
  }
  return bin;
}

// npm does so where another package manager has put a link to it: `npm rebuild` after pnpm.
test('installed, its scripts need nothing that is not in the package', async () => {
  const at = installed('as a link');
  const script = promisify(execFile)('sh', ['-c', manifest.scripts.prepare], { cwd: at });
  expect((await script).stderr).toBe('');
});

test('built elsewhere: says what the system said', async () => {
  expect((await requiring(installed('foreign', 'of another machine'))).stderr).toMatch(
    /does not load here \(holdfast_file\.node: .*holdfast_file\.node: .+\)/,
  );
});

test('bundled: says to leave it out', async () => {
  const at = join(folder, 'app');
  cpSync(join(root, 'dist'), join(at, 'out'), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(at, 'node_modules'));
  expect(
    (await run('-e', `require(${JSON.stringify(join(at, 'out', 'native-binding.js'))})`)).stderr,
  ).toMatch(/bundled.*external: \['holdfast'\]/);
});

test('bundled as an ES module, which has no folder: the same', async () => {
  const at = join(folder, 'bundle.mjs');
  const required = join(root, 'dist', 'native-binding.js');
  writeFileSync(
    at,
    `import { createRequire } from 'node:module';
    const require = createRequire(${JSON.stringify(required)});
    const exports = {};
    ${readFileSync(required, 'utf8')}`,
  );
  expect((await run(at)).stderr).toMatch(/in a bundle,.* external: \['holdfast'\]/);
});

test('what copies a program with the files it uses finds each file of the addon', () => {
  const text = readFileSync(join(root, 'dist', 'native-binding.js'), 'utf8');
  const place = /\(0, node_path_1\.join\)\(__dirname, '\.\.', 'build', 'Release', '(.*)'\)/g;
  const named = [...text.matchAll(place)];
  expect(named.map(([, file]) => file)).toEqual([
    'holdfast_pmem.node',
    'holdfast_file.node',
    'holdfast_pmem_probe',
  ]);
});

test('the package has all that a build needs and all that it exports, and no tests', async () => {
  const { stdout } = await promisify(execFile)(
    'npm',
    ['pack', '--dry-run', '--json', '--ignore-scripts'],
    { cwd: root, maxBuffer: 1 << 24 },
  );
  const [packed] = JSON.parse(stdout) as [{ files: { path: string }[] }];
  const files = new Set(packed.files.map(({ path }) => path));
  const sources = ['sources.txt', 'sources-binding.txt', 'sources-pmem.txt'].flatMap((list) =>
    readFileSync(join(root, 'native', list), 'utf8')
      .split('\n')
      .map((line) => line.replace(/#.*/, '').trim())
      .filter((line) => line !== ''),
  );
  expect(sources.length).toBeGreaterThan(50);
  const targets = [
    ...JSON.stringify([manifest.exports, manifest.bin]).matchAll(/"\.\/([^"*]+\.\w+)"/g),
  ].map(([, target]) => target!);
  const needed = [
    ...sources.map((source) => `native/${source}`),
    ...targets,
    'binding.gyp',
    'scripts/addon.js',
    'scripts/gyp.js',
    'README.md',
    'LICENSE',
  ];
  expect(needed.filter((file) => !files.has(file))).toEqual([]);
  expect(
    [...files].filter((file) =>
      /^(test|bench|build|build-native|node_modules)\/|_test\.|simulated_/.test(file),
    ),
  ).toEqual([]);
});
