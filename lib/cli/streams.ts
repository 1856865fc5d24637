/**
 * `-` for a file: a backup or an export goes to stdout, or comes from stdin. What is said about it
 * then goes to stderr.
 */
import { Writable, type Readable } from 'node:stream';

import { HoldfastError, typeError } from '../errors';
import { Output } from './output';
import { LineReader } from './replay/lines';

export const STREAM = '-';

/** Where a command that writes to `file` says what it did. */
export function outputBeside(file: string, json: boolean | undefined): Output {
  return new Output(json ?? false, file === STREAM ? process.stderr : process.stdout);
}

/**
 * Stdout as a target of bytes that all have to arrive. It is not ended with the target; a reader
 * that goes away early is an error here, not a reader that has seen enough.
 */
export function bytesToStdout(): Writable {
  if (process.stdout.isTTY)
    throw typeError(
      'A backup is binary: let stdout go to a file or to another program, or name a file',
    );
  process.stdout.removeAllListeners('error');
  process.stdout.on('error', () => undefined); // each write tells its own
  return new Writable({
    write: (chunk: Uint8Array, _encoding, done) => void process.stdout.write(chunk, done),
  });
}

/** Stdin may stand for one of the files. */
export function sourcesOf(files: readonly string[]): (string | Readable)[] {
  if (files.filter((file) => file === STREAM).length > 1)
    throw typeError(`Only one of the files can be ${STREAM} (stdin)`);
  return files.map((file) => (file === STREAM ? process.stdin : file));
}

/** The first `bytes` bytes, which stay in the stream; fewer if there are not so many. */
export async function peek(stream: Readable, bytes: number): Promise<Buffer> {
  for (;;) {
    const head = stream.read(bytes) as Buffer | null;
    if (head !== null) {
      stream.unshift(head);
      return head;
    }
    if (stream.readableEnded) return Buffer.alloc(0);
    if (stream.destroyed) throw new HoldfastError('ERR_HOLDFAST_IO', 'stdin could not be read');
    await moreOf(stream);
  }
}

function moreOf(stream: Readable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      stream.off('readable', settle).off('end', settle).off('error', settle);
      if (error) reject(error);
      else resolve();
    };
    stream.once('readable', settle).once('end', settle).once('error', settle);
  });
}

/**
 * The lines of a stream of UTF-8. Only a line feed ends one, before which a carriage return may
 * stand: the separators U+2028 and U+2029, at which Node.js 24 cuts lines too, are characters like
 * others inside JSON.
 */
export async function* linesOf(source: Readable): AsyncGenerator<string, void, undefined> {
  const lines: string[] = [];
  const take = (line: string): unknown =>
    lines.push(line.endsWith('\r') ? line.slice(0, -1) : line);
  const reader = new LineReader(take);
  let last = 10;
  for await (const chunk of source as AsyncIterable<Buffer>) {
    reader.push(chunk);
    last = chunk.at(-1) ?? last;
    yield* lines.splice(0);
  }
  if (last === 10) return;
  reader.push(Buffer.from('\n')); // the last line was not ended
  yield* lines;
}
