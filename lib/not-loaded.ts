/**
 * What to do where the addon cannot be loaded: Node.js was told not to, the package was bundled,
 * the addon was never built, or is for another machine.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

export interface FailedBuild {
  readonly file: string;
  readonly error: unknown;
}

/**
 * `root`: where the package is taken to lie; undefined in a bundle that does not say. `failed`: the
 * builds that were tried, the fuller one first.
 */
export function whyNotLoaded(root: string | undefined, failed: readonly FailedBuild[]): string {
  if (failed.some(({ error }) => codeOf(error) === 'ERR_DLOPEN_DISABLED')) {
    return process.permission === undefined
      ? "The native part of holdfast may not be loaded by this thread, because of --no-addons or a worker's execArgv: start it without"
      : 'The native part of holdfast may not be loaded: the permission model allows no addons. Start Node.js with --allow-addons (and in workers too)';
  }
  if (root === undefined || !isOurs(root)) {
    return (
      `The native part of holdfast was looked for in ${root ?? 'a bundle'}, which is not the package: it was bundled, most likely. ` +
      'Leave holdfast and holdfast/langgraph out of the bundle, and install the package where the bundle runs. ' +
      "Next.js: serverExternalPackages: ['holdfast']; esbuild: external: ['holdfast']; Rollup, Vite: external: [/^holdfast/]; " +
      "webpack: externals: { holdfast: 'commonjs holdfast', 'holdfast/langgraph': 'commonjs holdfast/langgraph' }"
    );
  }
  const there = failed.filter(({ file }) => existsSync(file));
  if (there.length === 0) {
    return (
      `The native part of holdfast is not built in ${root}: its install script failed, or was not allowed to run. ` +
      'Build it with "npm rebuild holdfast" (npm: first "npm install-scripts approve holdfast" if install scripts need to be approved; ' +
      'pnpm: "pnpm approve-builds" and "pnpm rebuild holdfast"; ' +
      'Yarn 4: "dependenciesMeta": { "holdfast": { "built": true } } in package.json, and "yarn rebuild holdfast"). ' +
      'It needs a C++20 compiler, make and python3; on Debian: apt-get install g++ make python3'
    );
  }
  const reasons = there.map(
    ({ file, error }) =>
      `${path.basename(file)}: ${error instanceof Error ? error.message.split('\n')[0] : error}`,
  );
  return (
    `The native part of holdfast does not load here (${reasons.join('; ')}). ` +
    'It was built on another machine or for other libraries, most likely: build it here with "npm rebuild holdfast"'
  );
}

function isOurs(root: string): boolean {
  try {
    return (
      (JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as { name?: unknown })
        .name === 'holdfast'
    );
  } catch (error) {
    return codeOf(error) !== 'ENOENT';
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}
