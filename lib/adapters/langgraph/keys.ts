/**
 * Keys made of several texts: each ends with a zero byte, so the keys that begin with the same
 * texts lie together, and those of one checkpoint follow the order of its id.
 */
import { createHash } from 'node:crypto';

import { rangeError, typeError } from '../../errors';
import { isKeyText } from '../../texts';
import type { Codec } from '../../types';

export type Texts = readonly string[];

const LONGEST_BYTES = 1000;

export const textsCodec: Codec<Texts> = {
  name: 'holdfast.texts',
  encode(texts) {
    let key = '';
    for (const text of texts) {
      if (typeof text !== 'string' || text.includes('\0'))
        throw typeError('A part of a key must be text without a zero character');
      key += `${text}\0`;
    }
    return key;
  },
  decode(bytes) {
    const texts = Buffer.from(bytes).toString('utf8').split('\0');
    texts.pop();
    return texts;
  },
};

/** How the ids of the runs of a thread's tools begin. */
export function runsOf(thread: string): string {
  const name = encodeURIComponent(thread);
  return `langgraph/${name.length <= 200 ? name : `~${createHash('sha256').update(thread).digest('hex')}`}/`;
}

/**
 * A number of at most four digits before the sign's place, as text that sorts as the numbers do.
 */
export function indexText(index: number): string {
  return String(index + 1_000_000).padStart(9, '0');
}

export function requiredText(
  configurable: Record<string, unknown> | undefined,
  field: string,
  doing: string,
): string {
  const text = optionalText(configurable, field);
  if (text !== undefined) return text;
  throw typeError(`${doing}: the config's "configurable" needs a "${field}"`);
}

export function optionalText(
  configurable: Record<string, unknown> | undefined,
  field: string,
): string | undefined {
  const value = configurable?.[field];
  if (value === undefined || value === null || value === '') return undefined;
  // A number that is none comes of an id that was not there: threads would be one.
  if (typeof value !== 'string' && !Number.isFinite(value)) {
    const got = typeof value === 'number' ? value : typeof value;
    throw typeError(`"${field}" in a config's "configurable" is a string; got ${got}`);
  }
  const text = String(value);
  const bytes = Buffer.byteLength(text);
  if (bytes > LONGEST_BYTES)
    throw rangeError(
      `"${field}" in a config's "configurable" has ${bytes} bytes; ids of thread, namespace, checkpoint and task have at most 1,000 together, so take a hash`,
      'ERR_HOLDFAST_KEY_SIZE',
    );
  if (!isKeyText(text))
    throw typeError(
      `"${field}" in a config's "configurable" holds a zero character or a lone surrogate; take a hash of it`,
    );
  return text;
}
