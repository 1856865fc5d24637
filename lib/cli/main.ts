#!/usr/bin/env node
/** The `holdfast` command. */
import { fileError } from '../files';
import { Output } from './output';
import { runProgram } from './program';

// Whoever reads us may stop early, as `head` does; that is no failure. A full disk behind stdout is one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : new Output(false).error(fileError(error, 'stdout could not be written')));
});

void runProgram(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
