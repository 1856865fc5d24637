/**
 * What a pool holds as JSON lines, for people and other programs, and back: the same bytes, on any
 * medium.
 *
 * The first line says what it is; every other is one entry, in the order of keyspaces and keys:
 *
 *   {"holdfast":"export","version":1,"epoch":17}
 *   {"keyspace":"memory","key":"user/7","structured":{"age":7}}
 *   {"keyspace":"blobs","key64":"AP8=","base64":"…"}
 *
 * A key is text where its bytes are, else `key64`. A value is written in the first form from which
 * exactly its bytes come back (`json`, `text`, `structured`), else as `base64`; one of more than a
 * mebibyte as several lines with `"more":true` on all but the last. A region is a line with its
 * size, and lines of what is not zeros in it:
 *
 *   {"region":"counters","size":4096}
 *   {"region":"counters","offset":0,"base64":"KgAAAAAAAAA="}
 *
 * The last line is {"end":<entries>}, so that a file that was cut off is noticed.
 */
import { json, structured } from './codecs';
import { HoldfastError } from './errors';
import type { Keyspace, PoolCore, Region } from './types';

const wholeValue = 1024 * 1024;
const regionPiece = 64 * 1024;
const textDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

type Raw = Keyspace<Uint8Array, Uint8Array>;

interface Line {
  holdfast?: unknown;
  version?: unknown;
  end?: unknown;
  keyspace?: unknown;
  key?: unknown;
  key64?: unknown;
  text?: unknown;
  json?: unknown;
  structured?: unknown;
  base64?: unknown;
  more?: unknown;
  region?: unknown;
  size?: unknown;
  offset?: unknown;
}

function raw(pool: PoolCore, name: string): Raw {
  return pool.keyspace<Uint8Array, Uint8Array>(name, { key: 'bytes', value: 'bytes' });
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Undefined where the bytes are no text. */
function textOf(bytes: Buffer): string | undefined {
  try {
    return textDecoder.decode(bytes);
  } catch {
    return undefined; // not UTF-8: the caller writes base64
  }
}

function same(encoded: Uint8Array | string, bytes: Buffer): boolean {
  return Buffer.compare(typeof encoded === 'string' ? Buffer.from(encoded) : encoded, bytes) === 0;
}

/** The value in the first form that gives exactly its bytes back. */
function formOf(bytes: Buffer): object {
  const text = textOf(bytes);
  if (text !== undefined && /^[[{"\dtfn-]/.test(text)) {
    const value = attempt(() => JSON.parse(text) as unknown);
    if (value !== undefined && JSON.stringify(value) === text) return { json: value };
  }
  // Short texts of one byte are also what small numbers look like.
  if (text !== undefined && !/[\u0000-\u0008\u000e-\u001f\u007f]/.test(text)) return { text };
  const value = attempt(() => structured.decode(bytes));
  if (value !== undefined) {
    const written = attempt(() => JSON.stringify(value));
    const back =
      written === undefined ? undefined : attempt(() => structured.encode(JSON.parse(written)));
    if (back !== undefined && same(back, bytes)) return { structured: value };
  }
  return { base64: bytes.toString('base64') };
}

// Bytes of any kind may be anything but what they look like: then another form is tried.
function attempt<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}

/** The lines of one consistent state. */
export function* exportLines(
  pool: PoolCore,
  onEntry?: (entries: number) => void,
): Generator<string, void, undefined> {
  const snapshot = pool.snapshot();
  let entries = 0;
  try {
    yield line({ holdfast: 'export', version: 1, epoch: snapshot.epoch });
    for (const name of pool.keyspaces()) {
      for (const [key, value] of raw(pool, name).range({ snapshot })) {
        const text = textOf(bufferOf(key));
        const head = {
          keyspace: name,
          ...(text === undefined ? { key64: bufferOf(key).toString('base64') } : { key: text }),
        };
        const bytes = bufferOf(value);
        let at = 0;
        for (; bytes.length - at > wholeValue; at += wholeValue) {
          yield line({
            ...head,
            base64: bytes.toString('base64', at, at + wholeValue),
            more: true,
          });
        }
        yield line({
          ...head,
          ...(at > 0 ? { base64: bytes.toString('base64', at) } : formOf(bytes)),
        });
        ++entries;
        onEntry?.(entries);
      }
    }
    for (const { name: region, size } of pool.regions({ snapshot })) {
      yield line({ region, size });
      const source = pool.region(region);
      for (
        let offset = source.nextData(0, { snapshot });
        offset < size;
        offset = source.nextData(Math.min(size, offset + regionPiece), { snapshot })
      ) {
        const bytes = bufferOf(
          source.read(offset, Math.min(regionPiece, size - offset), { snapshot }),
        );
        if (bytes.some((byte) => byte !== 0))
          yield line({ region, offset, base64: bytes.toString('base64') });
      }
    }
    yield line({ end: entries });
  } finally {
    snapshot.close();
  }
}

// Two characters that JSON takes as they are end a line for some who read lines.
function line(value: object): string {
  return `${JSON.stringify(value).replace(/[\u2028\u2029]/g, (c) => (c === '\u2028' ? '\\u2028' : '\\u2029'))}\n`;
}

/** Takes lines, and commits what they say. `end()` when there are no more. */
export class LineImport {
  readonly #pool: PoolCore;
  readonly #keyspaces = new Map<string, Raw>();
  readonly #regions = new Map<string, Region>();
  #batch;
  #batchBytes = 0;
  #line = 0;
  #entries = 0;
  #ended = false;
  #pieces: Buffer[] = [];

  constructor(pool: PoolCore) {
    this.#pool = pool;
    this.#batch = pool.batch();
  }

  get entries(): number {
    return this.#entries;
  }

  async take(text: string): Promise<void> {
    ++this.#line;
    const entry = attempt(() => JSON.parse(text) as Line);
    if (typeof entry !== 'object' || entry === null) throw this.#wrong('is not a JSON object');
    if (this.#line === 1) {
      if (entry.holdfast !== 'export') throw notOurs();
      if (entry.version !== 1) throw this.#wrong('says that it is of a newer version');
      return;
    }
    if (this.#ended) throw this.#wrong('comes behind the end');
    if (entry.end !== undefined) {
      if (entry.end !== this.#entries)
        throw this.#wrong(
          `says that there were ${String(entry.end)} entries, but ${this.#entries} came`,
        );
      this.#ended = true;
      return;
    }
    if (typeof entry.region === 'string') return this.#takeRegion(entry.region, entry);
    const value = this.#valueOf(entry);
    this.#pieces.push(value);
    if (entry.more === true) return;
    const whole = this.#pieces.length === 1 ? value : Buffer.concat(this.#pieces);
    this.#pieces = [];
    if (typeof entry.keyspace !== 'string') throw this.#wrong('names no keyspace');
    let keyspace = this.#keyspaces.get(entry.keyspace);
    if (keyspace === undefined)
      this.#keyspaces.set(entry.keyspace, (keyspace = raw(this.#pool, entry.keyspace)));
    this.#batch.put(keyspace, this.#keyOf(entry), whole);
    this.#batchBytes += whole.length + 64;
    ++this.#entries;
    if (this.#batchBytes > wholeValue) await this.#commit();
  }

  async end(): Promise<void> {
    if (this.#line === 0) throw notOurs();
    if (!this.#ended) throw this.#wrong('is the last, but no end was said; was the file cut off?');
    await this.#commit();
    await this.#pool.settled();
  }

  async #takeRegion(name: string, entry: Line): Promise<void> {
    if (typeof entry.size === 'number') {
      this.#regions.set(name, this.#pool.region(name, { size: entry.size }));
      return;
    }
    const region = this.#regions.get(name);
    if (
      region === undefined ||
      typeof entry.offset !== 'number' ||
      typeof entry.base64 !== 'string'
    ) {
      throw this.#wrong('is of a region and neither its size nor bytes of it');
    }
    const bytes = this.#base64(entry.base64);
    this.#batch.regionWrite(region, entry.offset, bytes);
    this.#batchBytes += bytes.length + 64;
    if (this.#batchBytes > wholeValue) await this.#commit();
  }

  async #commit(): Promise<void> {
    if (this.#batch.length === 0) return;
    await this.#pool.commit(this.#batch, { durability: 'eventual' });
    this.#batch = this.#pool.batch();
    this.#batchBytes = 0;
  }

  #keyOf(entry: Line): Uint8Array {
    if (typeof entry.key === 'string') return Buffer.from(entry.key);
    if (typeof entry.key64 === 'string') return this.#base64(entry.key64);
    throw this.#wrong('has no key');
  }

  #valueOf(entry: Line): Buffer {
    if (typeof entry.text === 'string') return Buffer.from(entry.text);
    if (typeof entry.base64 === 'string') return this.#base64(entry.base64);
    if ('json' in entry) return Buffer.from(json.encode(entry.json) as string);
    if ('structured' in entry)
      return Buffer.from(structured.encode(entry.structured) as Uint8Array);
    throw this.#wrong('has no value');
  }

  #base64(text: string): Buffer {
    const bytes = Buffer.from(text, 'base64');
    if (bytes.toString('base64') !== text) throw this.#wrong('has something that is not base64');
    return bytes;
  }

  #wrong(what: string): HoldfastError {
    return new HoldfastError('ERR_HOLDFAST_CORRUPT', `line ${this.#line} ${what}`);
  }
}

function notOurs(): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_NOT_A_BACKUP',
    'the file is no export: it does not begin with {"holdfast":"export",…}',
  );
}
