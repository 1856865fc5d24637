/**
 * How entries of a journal become bytes: as objects, but for that of a checkpoint, which is written whenever a state is saved. It is a list
 * without names: 1, time, number, label or null, and the epochs of earlier entries flat. Builds before this one wrote objects throughout.
 */
import { structured } from '../codecs';
import type { Codec } from '../types';
import type { Entry } from './entries';

const CHECKPOINT = 1;

type Short = [kind: typeof CHECKPOINT, at: number, checkpoint: number, label: string | null, ...epochs: number[]];

export const entryCodec: Codec<Entry> = {
  name: 'holdfast.entry',
  encode(entry) {
    if (entry.kind !== 'checkpoint') return structured.encode(entry);
    const { at, checkpoint, label = null, epochs = [] } = entry;
    const short: Short = [CHECKPOINT, at, checkpoint, label];
    for (const [sequence, epoch] of epochs) short.push(sequence, epoch);
    return structured.encode(short);
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
