import path from 'node:path';

import { defineConfig } from 'vitest/config';

// Another set of LangGraph's packages than the one that is installed here: a folder that they are
// installed in (scripts/langgraph-newest.sh).
const others = process.env.HOLDFAST_LANGGRAPH;
const from = others && path.resolve(others, 'node_modules', '@langchain');

// Forks, because a pool belongs to one process and tests end processes; one at a time, because
// tests count barriers.
export default defineConfig({
  resolve: {
    alias: from
      ? [
          // No file of that name lies in the package.
          {
            find: '@langchain/langgraph/prebuilt',
            replacement: `${from}/langgraph/dist/prebuilt/index.js`,
          },
          { find: /^@langchain\/(.*)$/, replacement: `${from}/$1` },
        ]
      : [],
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/unit/support/build-dist.ts'],
    // LangGraph's own conformance suite expects describe, it and expect to be global.
    globals: true,
    pool: 'forks',
    fileParallelism: false,
    // For a hang. A busy machine may be ten times slower than a quiet one.
    testTimeout: 600_000,
    hookTimeout: 600_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
