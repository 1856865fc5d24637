#!/usr/bin/env node
/** The `holdfast` command. */
import { runProgram } from './program';

// Whoever reads us may stop early, as `head` does; that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

void runProgram(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
