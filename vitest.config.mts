import { defineConfig } from 'vitest/config';

// Forks, because a pool belongs to one process and tests end processes; one at a time, because
// tests count barriers.
export default defineConfig({
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
