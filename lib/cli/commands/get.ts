/** `holdfast get`: one value. */
import { inspect } from 'node:util';

import { Option, type Command } from 'commander';

import { structured } from '../../codecs';
import { HoldfastError } from '../../errors';
import { EXIT, type Finish, Output, readable } from '../output';
import { placeOf, withReader } from '../with-pool';
import { rawKeyspace } from './ls';

type Form = 'auto' | 'structured' | 'json' | 'utf8' | 'hex';

export function addGet(program: Command, finish: Finish): void {
  program
    .command('get <pool> <keyspace> <key>')
    .description('show one value; a key is text, or bytes as 0x…')
    .addOption(
      new Option('--as <form>', 'how the value was encoded')
        .choices(['auto', 'structured', 'json', 'utf8', 'hex'])
        .default('auto'),
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  $ holdfast get ./agent.holdfast memory user/7\n' +
        '  $ holdfast get ./agent.holdfast raw 0x00ff --as hex',
    )
    .action(
      async (path: string, name: string, key: string, options: { as: Form; json?: boolean }) => {
        const output = new Output(options.json ?? false);
        await withReader(output, path, (pool) => {
          const bytes = rawKeyspace(pool, name).get(keyOf(key));
          if (bytes === undefined) {
            output.value({ ...placeOf(pool), keyspace: name, key, found: false });
            output.line(`no key ${key} in ${name}`);
            finish(EXIT.bad);
            return;
          }
          const value = decode(bytes, options.as);
          output.value({
            ...placeOf(pool),
            keyspace: name,
            key,
            found: true,
            bytes: bytes.byteLength,
            value,
          });
          const text =
            typeof value === 'string' ? value : inspect(value, { depth: null, colors: false });
          output.line(text);
        });
      },
    );
}

function keyOf(text: string): Uint8Array {
  return /^0x([0-9a-f]{2})+$/i.test(text) ? Buffer.from(text.slice(2), 'hex') : Buffer.from(text);
}

function decode(bytes: Uint8Array, form: Form): unknown {
  const buffer = Buffer.from(bytes);
  try {
    if (form === 'hex') return `0x${buffer.toString('hex')}`;
    if (form === 'utf8') return buffer.toString('utf8');
    if (form === 'json') return JSON.parse(buffer.toString('utf8'));
    if (form === 'structured') return structured.decode(buffer);
  } catch (cause) {
    throw new HoldfastError('ERR_HOLDFAST_CODEC', `the value is not ${form}; try --as hex`, {
      cause,
    });
  }
  return guess(buffer);
}

/**
 * Text that begins as JSON does is shown as JSON, what decodes as structured as that, all else as
 * text or hexadecimal.
 */
function guess(buffer: Buffer): unknown {
  const text = readable(buffer);
  if (/^[[{]/.test(text)) {
    try {
      return JSON.parse(text);
    } catch {
      return text;
    }
  }
  if (!text.startsWith('0x') && buffer.byteLength > 1) return text;
  try {
    return structured.decode(buffer);
  } catch {
    return text;
  }
}
