/**
 * What is kept of a checkpoint besides its value, and under which keys.
 *
 * An owner's checkpoints lie together in the order they were saved: the owner's name in UTF-8, a
 * zero byte, and the sequence number, big-endian. An owner belongs to a family, those whose
 * checkpoints may share nodes: a fork joins its origin's.
 */
import { rangeError, typeError } from '../errors';
import type { Codec, RangeOptions } from '../types';
import { Reader } from './reading';
import { Writer } from './writing';

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
    return {
      owner: view.toString('utf8', 0, end),
      sequence: view.readUIntBE(end + 1, sequenceBytes),
    };
  },
};

const marked = 0x80;
/** A clock may be wrong: a moment before 1970 or beyond these is kept as the nearest there is. */
const lastMoment = 2 ** 47 - 1;

/**
 * The time (6 bytes, the highest bit of the last set), then varints: family, bytes, length of the
 * label + 1 or 0 and the label; the parent: 0 for none, 1 and length and text, or 2 + the sequence
 * number of one of the same owner. What is left is the root.
 *
 * Builds before this one wrote family, time and bytes in 6 bytes each, and the lengths of label and
 * parent, + 1, in two: the sixth byte is 0 then.
 */
export const recordCodec: Codec<CheckpointRecord> = {
  name: 'holdfast.checkpoint-record',
  encode: (record) => encodeRecord(record),
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
    const parent =
      from === 0
        ? undefined
        : from === 1
          ? reader.take(reader.varint()).toString('utf8')
          : from - 2;
    return { family, at, bytes, label, parent, root: record.subarray(reader.at) };
  },
};

const writer = new Writer();

/**
 * In the memory of `former`, which is not needed any more, where it is as long: most are as long as
 * the last one.
 */
export function encodeRecord(
  { family, at, bytes, label, parent, root }: CheckpointRecord,
  former?: Uint8Array,
): Uint8Array {
  writer.at = writer.buffer.writeUIntLE(Math.min(Math.max(0, at), lastMoment), 0, 6);
  writer.buffer[5]! |= marked;
  writer.varint(family);
  writer.varint(bytes);
  if (label === undefined) writer.varint(0);
  else {
    const text = Buffer.from(label);
    writer.varint(text.length + 1);
    writer.bytes(text);
  }
  if (typeof parent === 'string') {
    const text = Buffer.from(parent);
    writer.varint(1);
    writer.varint(text.length);
    writer.bytes(text);
  } else writer.varint(parent === undefined ? 0 : parent + 2);
  writer.bytes(root);
  const { written } = writer;
  const record = former?.length === written.length ? former : new Uint8Array(written.length);
  record.set(written);
  return record;
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

/** Makes it the key of another checkpoint of the owner. */
export function numbered(key: Buffer, sequence: number): Buffer {
  key.writeUIntBE(sequence, key.length - sequenceBytes, sequenceBytes);
  return key;
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
    throw typeError(
      `${JSON.stringify(id)} is no checkpoint's id (such as "run/trip-42@3"); history() and \`holdfast history\` list them`,
    );
  }
  return { owner: id.slice(0, end), sequence };
}

/** Leaves room in a key for more than the name. */
const maxOwnerBytes = 900;

export function checkOwner(owner: unknown): asserts owner is string {
  if (typeof owner !== 'string')
    throw typeError(`The owner of checkpoints is a string; got ${typeof owner}`);
  const bytes = Buffer.byteLength(owner);
  if (bytes === 0 || bytes > maxOwnerBytes) {
    throw rangeError(
      `The owner of checkpoints has 1 to ${maxOwnerBytes} bytes of UTF-8; got ${bytes}`,
    );
  }
  if (owner.includes('\0') || Buffer.from(owner).toString() !== owner) {
    throw typeError('The owner of checkpoints is well-formed text without a zero character');
  }
}

export function checkLabel(label: unknown): asserts label is string | undefined {
  if (label === undefined) return;
  if (typeof label !== 'string')
    throw typeError(`A checkpoint's label is a string; got ${typeof label}`);
  if (Buffer.byteLength(label) > 512)
    throw rangeError("A checkpoint's label has at most 512 bytes of UTF-8");
  if (Buffer.from(label).toString() !== label)
    throw typeError("A checkpoint's label is well-formed text");
}
