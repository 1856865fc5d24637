/** Writing nodes and items as `wire.ts` says: into memory that is used again and again. */
import { isWellFormed } from '../texts';
import {
  type Back,
  type Blob,
  type Moment,
  type Node,
  type Opaque,
  type Piece,
  type Ref,
  type Shadow,
  TEXT,
  type Tree,
} from './shadow';
import { inRuns, lowTexts, lowTrees, tags } from './wire';

export class Writer {
  buffer: Buffer = Buffer.allocUnsafeSlow(8192);
  at = 0;
  #written = this.buffer.subarray(0, 0);

  reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.buffer.length, this.at + bytes));
    this.buffer.copy(larger, 0, 0, this.at);
    this.buffer = larger;
  }

  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.at++] = value;
  }

  varint(value: number): void {
    this.reserve(9);
    const { buffer } = this;
    let { at } = this;
    let left = value;
    // Small ones, as most are, without the arithmetic of large ones.
    for (; left > 0x7fff_ffff; left = Math.floor(left / 0x80)) buffer[at++] = (left % 0x80) | 0x80;
    for (left |= 0; left >= 0x80; left >>= 7) buffer[at++] = (left & 0x7f) | 0x80;
    buffer[at++] = left;
    this.at = at;
  }

  bytes(value: Uint8Array): void {
    this.reserve(value.length);
    this.buffer.set(value, this.at);
    this.at += value.length;
  }

  /**
   * All of it. Valid until more is written. Mostly as long as the last time: making a view takes
   * longer than writing a little.
   */
  get written(): Uint8Array {
    if (this.#written.length !== this.at || this.#written.buffer !== this.buffer.buffer)
      this.#written = this.buffer.subarray(0, this.at);
    return this.#written;
  }

  /**
   * What was written behind `room` unused bytes, with the count and the lengths of its slots in
   * front. Valid until more is written.
   */
  headed(lengths: readonly number[], room: number): Uint8Array {
    const end = this.at;
    this.at = 0;
    this.varint(lengths.length);
    for (const length of lengths) this.varint(length);
    const { at: bytes } = this;
    this.buffer.copyWithin(room - bytes, 0, bytes);
    this.at = end;
    return this.buffer.subarray(room - bytes, end);
  }

  float(value: number): void {
    this.reserve(8);
    this.at = this.buffer.writeDoubleLE(value, this.at);
  }

  ref(ref: Ref): void {
    this.varint(ref.page);
    this.varint(ref.slot);
  }

  children(nodes: readonly Node[]): void {
    this.varint(inRuns + nodes.length);
    for (let at = 0; at < nodes.length;) {
      const node = nodes[at]!;
      const { page, slot } = node.ref!;
      this.varint(page);
      this.varint(slot);
      if (isPart(node)) {
        this.varint(0);
        this.varint(node.from);
        this.varint(node.length);
        ++at;
        continue;
      }
      let run = 1;
      for (; at + run < nodes.length && !isPart(nodes[at + run]!); ++run) {
        const next = nodes[at + run]!.ref!;
        if (next.page !== page || next.slot !== slot + run) break;
      }
      this.varint(run);
      at += run;
    }
  }

  text(value: string): void {
    const { length } = value;
    this.reserve(3 * length + 10);
    if (length < 64) {
      if (this.ascii(value)) return;
    } else if (this.oneByteEach(value)) return;
    if (!isWellFormed(value)) {
      this.byte(tags.text16);
      this.varint(2 * length);
      this.at += this.buffer.write(value, this.at, 'utf16le');
      return;
    }
    const bytes = Buffer.byteLength(value);
    this.byte(tags.text);
    this.varint(bytes);
    this.at += this.buffer.write(value, this.at, 'utf8');
  }

  /** Long text is mostly ASCII, which is known by its length in UTF-8. */
  private oneByteEach(value: string): boolean {
    const start = this.at;
    this.buffer[this.at++] = tags.text;
    this.varint(value.length);
    const written = this.buffer.write(value, this.at, 'utf8');
    this.at = written === value.length ? this.at + written : start;
    return this.at !== start;
  }

  private ascii(value: string): boolean {
    const { buffer } = this;
    const start = this.at + 1;
    for (let i = 0; i < value.length; ++i) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      buffer[start + i] = code;
    }
    buffer[this.at] = tags.shortText + value.length;
    this.at = start + value.length;
    return true;
  }

  item(shadow: Shadow): void {
    switch (typeof shadow) {
      case 'string':
        return this.text(shadow);
      case 'number':
        return this.someNumber(shadow);
      case 'boolean':
        return this.byte(shadow ? tags.true : tags.false);
      case 'undefined':
        return this.byte(tags.undefined);
      case 'bigint':
        this.byte(tags.bigint);
        return this.text(shadow.toString());
      default:
        if (shadow === null) this.byte(tags.null);
        else this.object(shadow);
    }
  }

  items(items: readonly Shadow[]): void {
    this.varint(items.length);
    for (const item of items) this.item(item);
  }

  private someNumber(value: number): void {
    if (!Number.isInteger(value) || Math.abs(value) > 0x3fff_ffff || Object.is(value, -0)) {
      this.byte(tags.float);
      this.float(value);
    } else if (value >= 0 && value < 128) this.byte(tags.smallInteger + value);
    else {
      this.byte(tags.integer);
      this.varint(value < 0 ? -2 * value - 1 : 2 * value);
    }
  }

  private object(shadow: Tree | Blob | Back | Opaque | Moment): void {
    switch (shadow.kind) {
      case 'moment':
        this.byte(tags.moment);
        return this.float(shadow.ms);
      case 'back':
        this.byte(tags.back);
        return this.varint(shadow.up);
      case 'opaque':
        this.byte(tags.opaque);
        this.byte(shadow.type);
        this.varint(shadow.bytes.length);
        return this.bytes(shadow.bytes);
      case 'blob':
        this.blob(shadow);
        return this.ref(shadow.top.ref!);
      case 'tree':
        if (shadow.inline) {
          this.byte(tags.inline);
          this.byte(shadow.shape);
          return this.items(shadow.leaves[0]!.items);
        }
        return this.tree(shadow);
    }
  }

  private blob({ type, levels: { length } }: Blob): void {
    if (type === TEXT && length < lowTexts) return this.byte(tags.lowText + length);
    this.byte(tags.blob);
    this.byte(type);
    this.varint(length);
  }

  private tree({ shape, levels: { length }, ref }: Tree): void {
    if (length < lowTrees) this.byte(tags.lowTree + shape + 4 * length);
    else {
      this.byte(tags.tree);
      this.byte(shape);
      this.varint(length);
    }
    this.ref(ref!);
  }
}

/** A piece's bytes begin with a byte that says how text was written. */
export function encodePiece(writer: Writer, data: string | Uint8Array): void {
  if (typeof data !== 'string') return writer.bytes(data);
  const wide = !isWellFormed(data);
  writer.byte(wide ? 1 : 0);
  writer.reserve(3 * data.length);
  writer.at += writer.buffer.write(data, writer.at, wide ? 'utf16le' : 'utf8');
}

function isPart(node: Node): node is Piece {
  return node.kind === 'piece' && node.from >= 0;
}
