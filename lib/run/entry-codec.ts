/**
 * How entries of a journal become bytes: as objects, but for that of a checkpoint, which is written
 * whenever a state is saved. It is a list without names: 1, time, number, label or null, and the
 * epochs of earlier entries flat. Builds before this one wrote objects throughout.
 */
import { structured } from '../codecs';
import type { Codec } from '../types';
import type { Entry } from './entries';

const CHECKPOINT = 1;

type Short = [
  kind: typeof CHECKPOINT,
  at: number,
  checkpoint: number,
  label: string | null,
  ...epochs: number[],
];

/** So many items one byte tells the number of; each takes nine bytes at most. */
const fewItems = 15;
const brief = Buffer.allocUnsafeSlow(1 + 9 * fewItems);
/** As much of it as was written last: mostly as much as is written next. */
let written = brief;

/**
 * The bytes of `structured`, for a short list of numbers from 0 up and nulls; undefined for any
 * other. Asking the codec costs as much as all that a small checkpoint stores besides. Valid until
 * the next call.
 */
export function encodeBriefly(items: readonly unknown[]): Uint8Array | undefined {
  if (items.length > fewItems) return undefined;
  let at = 0;
  brief[at++] = 0x90 + items.length;
  for (const item of items) {
    if (item === null) brief[at++] = 0xc0;
    else if (
      typeof item !== 'number' ||
      !Number.isSafeInteger(item) ||
      item < 0 ||
      Object.is(item, -0)
    )
      return undefined;
    // From 0x40 on a byte alone says of what kind a record is.
    else if (item < 0x40) brief[at++] = item;
    else if (item < 0x100) {
      brief[at++] = 0xcc;
      brief[at++] = item;
    } else if (item < 0x1_0000) {
      brief[at++] = 0xcd;
      at = brief.writeUInt16BE(item, at);
    } else if (item < 0x1_0000_0000) {
      brief[at++] = 0xce;
      at = brief.writeUInt32BE(item, at);
    } else {
      brief[at++] = 0xcb;
      at = brief.writeDoubleBE(item, at);
    }
  }
  if (written.length !== at) written = brief.subarray(0, at);
  return written;
}

export const entryCodec: Codec<Entry> = {
  name: 'holdfast.entry',
  encode(entry) {
    if (entry.kind !== 'checkpoint') return structured.encode(entry);
    const { at, checkpoint, label = null, epochs = [] } = entry;
    const short: Short = [CHECKPOINT, at, checkpoint, label];
    for (const [sequence, epoch] of epochs) short.push(sequence, epoch);
    return encodeBriefly(short) ?? structured.encode(short);
  },
  decode(bytes) {
    const value = structured.decode(bytes) as Entry | Short;
    if (!Array.isArray(value)) return value;
    const [, at, checkpoint, label, ...flat] = value;
    const epochs: [number, number][] = [];
    for (let i = 0; i < flat.length; i += 2) epochs.push([flat[i]!, flat[i + 1]!]);
    return {
      at,
      kind: 'checkpoint',
      checkpoint,
      ...(label !== null && { label }),
      ...(epochs.length > 0 && { epochs }),
    };
  },
};
