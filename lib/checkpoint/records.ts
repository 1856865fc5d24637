/**
 * What is kept of a checkpoint besides its value, and under which keys.
 *
 * An owner's checkpoints lie together in the order they were saved: the owner's name in UTF-8, a zero byte, and the sequence
 * number, big-endian. An owner belongs to a family, those whose checkpoints may share nodes: a fork joins its origin's.
 */
import { rangeError, typeError } from '../errors';
import type { Codec, RangeOptions } from '../types';
import { Reader } from './wire';

export interface RecordKey {
  readonly owner: string;
  readonly sequence: number;
}

export interface CheckpointRecord {
  readonly family: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Bytes the save added to the pages. */
  readonly bytes: number;
  readonly label?: string;
  /** Its id, or its sequence number if it is of the same owner. */
  readonly parent?: string | number;
  readonly root: Uint8Array;
}

const sequenceBytes = 6;

export const recordKeyCodec: Codec<RecordKey> = {
  name: 'holdfast.checkpoint-key',
  encode({ owner, sequence }) {
    const bytes = Buffer.byteLength(owner);
    const key = Buffer.allocUnsafe(bytes + 1 + sequenceBytes);
    key.write(owner, 0, 'utf8');
    key[bytes] = 0;
    key.writeUIntBE(sequence, bytes + 1, sequenceBytes);
    return key;
  },
  decode(bytes) {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = view.length - 1 - sequenceBytes;
    return { owner: view.toString('utf8', 0, end), sequence: view.readUIntBE(end + 1, sequenceBytes) };
  },
};

const marked = 0x80;
/** A clock may be wrong: a moment before 1970 or beyond these is kept as the nearest there is. */
const lastMoment = 2 ** 47 - 1;

/**
 * The time (6 bytes, the highest bit of the last set), then varints: family, bytes, length of the label + 1 or 0 and the label; the parent: 0 for
 * none, 1 and length and text, or 2 + the sequence number of one of the same owner. What is left is the root.
 *
 * Builds before this one wrote family, time and bytes in 6 bytes each, and the lengths of label and parent, + 1, in two: the sixth byte is 0 then.
 */
export const recordCodec: Codec<CheckpointRecord> = {
  name: 'holdfast.checkpoint-record',
  encode({ family, at, bytes, label, parent, root }) {
    const labelBytes = label === undefined ? 0 : Buffer.byteLength(label);
    const parentBytes = typeof parent === 'string' ? Buffer.byteLength(parent) : 0;
    const record = Buffer.allocUnsafe(40 + labelBytes + parentBytes + root.length);
    let end = record.writeUIntLE(Math.min(Math.max(0, at), lastMoment), 0, 6);
    record[5]! |= marked;
    end = varint(record, end, family);
    end = varint(record, end, bytes);
    end = varint(record, end, label === undefined ? 0 : labelBytes + 1);
    if (label !== undefined) end += record.write(label, end);
    if (typeof parent === 'string') {
      end = varint(record, varint(record, end, 1), parentBytes);
      end += record.write(parent, end);
    } else end = varint(record, end, parent === undefined ? 0 : parent + 2);
    record.set(root, end);
    return record.subarray(0, end + root.length);
  },
  decode(borrowed) {
    const record = Buffer.from(borrowed);
    if (record[5]! < marked) return decodeFirst(record);
    const reader = new Reader(record);
    const at = reader.take(6).readUIntLE(0, 6) - marked * 2 ** 40;
    const family = reader.varint();
    const bytes = reader.varint();
    const labelled = reader.varint();
    const label = labelled === 0 ? undefined : reader.take(labelled - 1).toString('utf8');
    const from = reader.varint();
    const parent = from === 0 ? undefined : from === 1 ? reader.take(reader.varint()).toString('utf8') : from - 2;
    return { family, at, bytes, label, parent, root: record.subarray(reader.at) };
  },
};

function varint(into: Buffer, at: number, value: number): number {
  let left = value;
  let end = at;
  for (; left >= 0x80; left = Math.floor(left / 0x80)) into[end++] = (left % 0x80) | 0x80;
  into[end++] = left;
  return end;
}

function decodeFirst(record: Buffer): CheckpointRecord {
  let end = 18;
  const text = (): string | undefined => {
    const length = record.readUInt16LE(end);
    end += 2;
    if (length === 0) return undefined;
    end += length - 1;
    return record.toString('utf8', end - length + 1, end);
  };
  const label = text();
  const parent = text();
  return {
    family: record.readUIntLE(0, 6),
    at: record.readUIntLE(6, 6),
    bytes: record.readUIntLE(12, 6),
    label,
    parent,
    root: record.subarray(end),
  };
}

/** Of a checkpoint of the same owner: `key` is the key of another. */
export function keyBeside(key: Uint8Array, sequence: number): Uint8Array {
  const made = Buffer.allocUnsafe(key.length);
  made.set(key);
  made.writeUIntBE(sequence, key.length - sequenceBytes, sequenceBytes);
  return made;
}

export function recordsOf(owner: string): RangeOptions<RecordKey> {
  return { gte: { owner, sequence: 0 }, lte: { owner, sequence: 2 ** 48 - 1 } };
}

export function idOf({ owner, sequence }: RecordKey): string {
  return `${owner}@${sequence}`;
}

export function keyOf(id: unknown): RecordKey {
  if (typeof id !== 'string') throw typeError(`A checkpoint's id is a string; got ${typeof id}`);
  const end = id.lastIndexOf('@');
  const sequence = Number(id.slice(end + 1));
  if (end < 1 || !/^\d{1,15}$/.test(id.slice(end + 1)) || sequence >= 2 ** 48) {
    throw typeError(`${JSON.stringify(id)} is no checkpoint's id (such as "run/trip-42@3"); history() and \`holdfast history\` list them`);
  }
  return { owner: id.slice(0, end), sequence };
}

/** Leaves room in a key for more than the name. */
const maxOwnerBytes = 900;

export function checkOwner(owner: unknown): asserts owner is string {
  if (typeof owner !== 'string') throw typeError(`The owner of checkpoints is a string; got ${typeof owner}`);
  const bytes = Buffer.byteLength(owner);
  if (bytes === 0 || bytes > maxOwnerBytes) {
    throw rangeError(`The owner of checkpoints has 1 to ${maxOwnerBytes} bytes of UTF-8; got ${bytes}`);
  }
  if (owner.includes('\0') || Buffer.from(owner).toString() !== owner) {
    throw typeError('The owner of checkpoints is well-formed text without a zero character');
  }
}

export function checkLabel(label: unknown): asserts label is string | undefined {
  if (label === undefined) return;
  if (typeof label !== 'string') throw typeError(`A checkpoint's label is a string; got ${typeof label}`);
  if (Buffer.byteLength(label) > 512) throw rangeError("A checkpoint's label has at most 512 bytes of UTF-8");
  if (Buffer.from(label).toString() !== label) throw typeError("A checkpoint's label is well-formed text");
}
