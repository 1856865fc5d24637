/**
 * How keys and values become bytes and come back.
 *
 * `decode` only borrows the bytes it is given. The built-in codecs but `bytes` never hand them on,
 * so the pool reads into one scratch buffer for them; see lib/slab.ts.
 */
import { types } from 'node:util';
import { deserialize, serialize } from 'node:v8';

import { Packr } from 'msgpackr';

import { HoldfastError, typeError } from './errors';
import { mustHaveBytes, shown } from './options';
import { foreignError, functionError, isPlainData, refuseUnreadable } from './plain-data';
import type { BuiltinCodecName, Codec } from './types';

const utf8Decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true });

function textOf(bytes: Uint8Array): string {
  return Buffer.isBuffer(bytes) ? bytes.toString('utf8') : utf8Decoder.decode(bytes);
}

function codecError(doing: string, cause: unknown): HoldfastError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('ERR_HOLDFAST_CODEC', `${doing}: ${reason}`, { cause });
}

/** Bytes as they are. What is read is the caller's own. */
export const bytes: Codec<Uint8Array> = {
  name: 'bytes',
  encode(value) {
    if (!types.isUint8Array(value))
      throw typeError(`The codec "bytes" takes a Uint8Array, not ${shown(value)}`);
    if (value.length === 0) mustHaveBytes(value);
    return value;
  },
  decode: (borrowed) => new Uint8Array(borrowed),
};

/** Text as UTF-8. Keys sort by code point. */
export const utf8: Codec<string> = {
  name: 'utf8',
  encode(value) {
    if (typeof value !== 'string') {
      throw typeError(
        `The codec "utf8" takes a string, not ${shown(value)}; a keyspace may have another: { key: 'uint64' }`,
      );
    }
    return value;
  },
  decode(borrowed) {
    try {
      return textOf(borrowed);
    } catch (cause) {
      throw codecError(`${borrowed.length} stored bytes cannot be a string`, cause);
    }
  },
};

/** What JSON can say. */
export const json: Codec<unknown> = {
  name: 'json',
  encode(value) {
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch (cause) {
      throw codecError('The value cannot be written as JSON', cause);
    }
    if (text === undefined) {
      throw codecError('The value cannot be written as JSON', `JSON has no ${typeof value}`);
    }
    return text;
  },
  decode(borrowed) {
    try {
      return JSON.parse(textOf(borrowed)) as unknown;
    } catch (cause) {
      throw codecError(
        'The stored bytes are not JSON; was the value written with another codec?',
        cause,
      );
    }
  },
};

// Objects as records, so that a Map stays a Map; integers beyond 32 bits as floats, so that only a
// BigInt comes back as a BigInt. copyBuffers because the bytes are borrowed.
const packr = new Packr({
  useRecords: true,
  mapsAsObjects: false,
  moreTypes: true,
  structuredClone: true,
  copyBuffers: true,
  int64AsType: 'bigint',
});
Object.assign(packr, {
  writeFunction() {
    throw new TypeError('a function cannot be stored');
  },
});

/**
 * msgpack never uses this byte: what follows it is V8's own serialization, which is kept readable
 * by later versions of it.
 */
const byV8 = 0xc1;

/**
 * What `structuredClone` can carry: Map, Set, Date, BigInt, typed arrays, undefined, cycles and
 * shared references. msgpack where that loses nothing; what it would change (-0, holes in arrays,
 * half surrogate pairs, errors, boxed primitives, some names as keys, built-in objects of another
 * realm, instances of classes, whose own fields are kept) goes through V8's serializer.
 */
export const structured: Codec<unknown> = {
  name: 'structured',
  encode(value) {
    try {
      return isPlainData(value) ? packr.pack(value) : packByV8(value);
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause;
      throw (
        functionError(value, cause) ??
        foreignError(value, cause) ??
        codecError('The value cannot be stored', cause)
      );
    }
  },
  decode(borrowed) {
    try {
      // A copy, since V8 makes typed arrays of the very bytes it is given.
      if (borrowed[0] === byV8) return deserialize(new Uint8Array(borrowed.subarray(1))) as unknown;
      return packr.unpack(borrowed) as unknown;
    } catch (cause) {
      throw codecError(
        'The stored bytes cannot be decoded; was the value written with another codec?',
        cause,
      );
    }
  },
};

function packByV8(value: unknown): Uint8Array {
  refuseUnreadable(value);
  const bytes = serialize(value);
  const packed = Buffer.allocUnsafe(bytes.length + 1);
  packed[0] = byV8;
  packed.set(bytes, 1);
  return packed;
}

/**
 * Whole numbers from 0 to 2^64 - 1 as eight bytes that sort as the numbers do. Read as a number
 * where that is exact.
 */
export const uint64: Codec<number | bigint> = {
  name: 'uint64',
  encode(value) {
    if (
      typeof value === 'number'
        ? !Number.isSafeInteger(value) || value < 0
        : typeof value !== 'bigint'
    ) {
      throw typeError(
        `The codec "uint64" takes a safe integer from 0 up, or a bigint, not ${shown(value)}`,
      );
    }
    const whole = BigInt(value);
    if (whole < 0n || whole > 0xffff_ffff_ffff_ffffn) {
      throw typeError(`The codec "uint64" takes numbers from 0 to 2^64 - 1, not ${whole}`);
    }
    const encoded = Buffer.allocUnsafe(8);
    encoded.writeBigUInt64BE(whole);
    return encoded;
  },
  decode(borrowed) {
    if (borrowed.length !== 8) {
      throw codecError(
        'The stored bytes are no uint64',
        `${borrowed.length} bytes where 8 are needed`,
      );
    }
    const view = new DataView(borrowed.buffer, borrowed.byteOffset, 8);
    const high = view.getUint32(0);
    if (high < 0x20_0000) return high * 0x1_0000_0000 + view.getUint32(4);
    return view.getBigUint64(0);
  },
};

// Named, so that compilers before TypeScript 5.7 can read what it is.
/**
 * The built-in codecs, to use by value or to build your own upon: `{ name, encode, decode }`. A
 * keyspace takes their names too.
 */
export const codecs: {
  readonly bytes: Codec<Uint8Array>;
  readonly utf8: Codec<string>;
  readonly json: Codec<unknown>;
  readonly structured: Codec<unknown>;
  readonly uint64: Codec<number | bigint>;
} = { bytes, utf8, json, structured, uint64 };

/**
 * Decodes what lies between `start` and `end`, without a view on it; keeps nothing of it, runs no
 * code of the user's.
 */
export type DecodeAt<T> = (from: Buffer, start: number, end: number) => T;

const decodersAt = new Map<unknown, DecodeAt<unknown>>([
  [utf8, (from, start, end) => from.toString('utf8', start, end)],
  [json, (from, start, end) => json.decode(from.subarray(start, end))],
  [structured, (from, start, end) => structured.decode(from.subarray(start, end))],
  [uint64, (from, start, end) => uint64.decode(from.subarray(start, end))],
]);

/**
 * Undefined for codecs whose bytes must be a copy that lasts: `bytes`, and all that are not ours.
 */
export function decoderAt<T>(codec: Codec<T>): DecodeAt<T> | undefined {
  return decodersAt.get(codec) as DecodeAt<T> | undefined;
}

/** Decodes bytes that are a lasting copy already. */
export function decodeOwned<T>(codec: Codec<T>, owned: Uint8Array): T {
  return (codec as unknown) === bytes ? (owned as T) : codec.decode(owned);
}

function isCodec(value: unknown): value is Codec<unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const { name, encode, decode } = value as Partial<Codec<unknown>>;
  return typeof name === 'string' && typeof encode === 'function' && typeof decode === 'function';
}

const orderKeeping: readonly string[] = ['bytes', 'utf8', 'uint64'];

export function resolveCodec<T>(
  given: Codec<T> | BuiltinCodecName | undefined,
  role: 'key' | 'value',
): Codec<T> {
  const chosen = given ?? (role === 'key' ? 'utf8' : 'structured');
  if (typeof chosen !== 'string') {
    if (isCodec(chosen)) return chosen;
    throw typeError(`The ${role} codec must be a name or an object with name, encode and decode`);
  }
  if (!Object.hasOwn(codecs, chosen)) {
    throw typeError(`There is no codec "${chosen}"; there are ${Object.keys(codecs).join(', ')}`);
  }
  if (role === 'key' && !orderKeeping.includes(chosen)) {
    throw typeError(
      `The codec "${chosen}" does not keep order; keys take ${orderKeeping.join(', ')} or your own`,
    );
  }
  return codecs[chosen] as Codec<unknown> as Codec<T>;
}
