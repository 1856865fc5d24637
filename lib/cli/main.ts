#!/usr/bin/env node
/** The `holdfast` command. */
import { fileError } from '../files';
import { Output } from './output';

// Whoever reads us may stop early, as `head` does; that is no failure. A full disk behind stdout is
// one.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(
    error.code === 'EPIPE'
      ? 0
      : new Output(false).error(fileError(error, 'stdout could not be written')),
  );
});

const args = process.argv.slice(2);
// Loaded here and not above: without its native part there is something to say, and no stack to
// show.
void import('./program')
  .then(
    ({ runProgram }) => runProgram(args),
    (error) => new Output(args.includes('--json')).error(error),
  )
  .then((code) => {
    process.exitCode = code;
  });
