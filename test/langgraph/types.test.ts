/** The types that a user sees, compiled with TypeScript's strictest rules. */
import path from 'node:path';

import { expect, it } from 'vitest';

import { saidOf } from '../helpers/compiled';

it("savers, stores and caches are LangGraph's own without a cast, runs are typed", () => {
  const options =
    '--strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022 --types node';
  expect(saidOf(path.join(import.meta.dirname, 'assignable.ts'), options)).toBe('');
});
