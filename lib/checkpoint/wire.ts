/**
 * How shadows become bytes and come back.
 *
 * A page holds slots, each one node: the items of a leaf, the children of a spine, the bytes of a
 * piece. A ref is a page and a slot. A slot that nobody refers to any more may be empty in a page
 * that was pruned.
 *
 *   page   count, length of each slot, the slots; all numbers here are varints
 *   leaf   count of items, the items        piece   its bytes
 *   spine  32 + count of children, runs of them that lie one behind the other: page, first slot,
 *          how many; or a part of one piece: page, slot, 0, where it begins, its length (before
 *          there were runs: count, refs)
 *   item   a tag byte and what belongs to it, see `tags`
 */
import { HoldfastError } from '../errors';
import {
  Back,
  Blob,
  Leaf,
  Moment,
  type Node,
  Opaque,
  type Piece,
  type Ref,
  type Shadow,
  TEXT,
  Tree,
} from './shadow';

export const tags = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  /** Zigzag varint. */ integer: 4,
  float: 5,
  /** Length, UTF-8. */ text: 6,
  /** Length, UTF-16: text with half a surrogate pair. */ text16: 7,
  /** As a decimal text. */ bigint: 8,
  moment: 9,
  /** Type, length, bytes. */ opaque: 10,
  /** Levels up. */ back: 11,
  /** Shape, count, items. */ inline: 12,
  /** Shape, height, ref. */ tree: 13,
  /** Type, height, ref. */ blob: 14,
  /** And the shape, and four times the height, up to 3; ref. */ lowTree: 0x10,
  /** Of text. And the height, up to 7; ref. */ lowText: 0x20,
  /** And the length, up to 63. */ shortText: 0x40,
  /** And the number, up to 127. */ smallInteger: 0x80,
} as const;

const lowTrees = 4;
const lowTexts = 8;

/** Nodes of former versions have their number of children here, which is never that large. */
const inRuns = 32;

export class Writer {
  buffer = Buffer.allocUnsafeSlow(8192);
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

/** What a reader needs to follow refs. */
export interface Resolver {
  tree(shape: number, height: number, ref: Ref): Tree;
  blob(type: number, height: number, ref: Ref): Blob;
}

/** From `from` on so much of it; all of it where that is -1. */
export interface Child extends Ref {
  readonly from: number;
  readonly length: number;
}

export class Reader {
  at = 0;
  constructor(readonly buffer: Buffer) {}

  byte(): number {
    const value = this.buffer[this.at++];
    if (value === undefined) throw damaged('it ends too early');
    return value;
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
  }

  ref(): Ref {
    const page = this.varint();
    return { page, slot: this.varint() };
  }

  children(): Child[] {
    const children: Child[] = [];
    const head = this.varint();
    if (head < inRuns)
      for (let left = head; left > 0; --left) children.push({ ...this.ref(), from: -1, length: 0 });
    else {
      while (children.length < head - inRuns) {
        const { page, slot } = this.ref();
        const run = this.varint();
        if (run > head - inRuns - children.length)
          throw damaged('the children of a node are not what it says');
        if (run === 0) children.push({ page, slot, from: this.varint(), length: this.varint() });
        for (let i = 0; i < run; ++i) children.push({ page, slot: slot + i, from: -1, length: 0 });
      }
    }
    return children;
  }

  take(length: number): Buffer {
    if (this.at + length > this.buffer.length) throw damaged('it ends too early');
    this.at += length;
    return this.buffer.subarray(this.at - length, this.at);
  }

  float(): number {
    return this.take(8).readDoubleLE();
  }

  items(resolve: Resolver): Shadow[] {
    const count = this.varint();
    const items: Shadow[] = [];
    for (let i = 0; i < count; ++i) items.push(this.item(resolve));
    return items;
  }

  item(resolve: Resolver): Shadow {
    const tag = this.byte();
    if (tag >= tags.smallInteger) return tag - tags.smallInteger;
    if (tag >= tags.shortText) return this.take(tag - tags.shortText).toString('latin1');
    switch (tag) {
      case tags.undefined:
        return undefined;
      case tags.null:
        return null;
      case tags.false:
        return false;
      case tags.true:
        return true;
      case tags.integer: {
        const zigzag = this.varint();
        return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
      }
      case tags.float:
        return this.float();
      case tags.text:
        return this.take(this.varint()).toString('utf8');
      case tags.text16:
        return this.take(this.varint()).toString('utf16le');
      case tags.bigint:
        return BigInt(this.item(resolve) as string);
      case tags.moment:
        return new Moment(this.float());
      case tags.opaque: {
        const type = this.byte();
        return new Opaque(type, new Uint8Array(this.take(this.varint())));
      }
      case tags.back:
        return new Back(this.varint());
      case tags.inline: {
        const shape = this.byte();
        return new Tree(shape, [new Leaf(this.items(resolve))]);
      }
      case tags.tree: {
        const shape = this.byte();
        return resolve.tree(shape, this.varint(), this.ref());
      }
      case tags.blob: {
        const type = this.byte();
        return resolve.blob(type, this.varint(), this.ref());
      }
      default:
        return this.#low(tag, resolve);
    }
  }

  #low(tag: number, resolve: Resolver): Shadow {
    const kind = lowKind(tag);
    if (kind === tags.lowTree) return resolve.tree(tag & 3, (tag - kind) >> 2, this.ref());
    return resolve.blob(TEXT, tag - kind, this.ref());
  }

  /** Walks over items and tells of the refs among them: `leafward` says what they lead to. */
  refs(found: (ref: Ref, height: number, leads: 'leaf' | 'piece') => void): void {
    for (let left = this.varint(); left > 0; --left) {
      const tag = this.byte();
      if (tag >= tags.smallInteger) continue;
      if (tag >= tags.shortText) this.take(tag - tags.shortText);
      else this.#skip(tag, found);
    }
  }

  #skip(tag: number, found: (ref: Ref, height: number, leads: 'leaf' | 'piece') => void): void {
    switch (tag) {
      case tags.integer:
      case tags.back:
        this.varint();
        break;
      case tags.float:
      case tags.moment:
        this.take(8);
        break;
      case tags.text:
      case tags.text16:
        this.take(this.varint());
        break;
      case tags.bigint: {
        const digits = this.byte();
        this.take(digits >= tags.shortText ? digits - tags.shortText : this.varint());
        break;
      }
      case tags.opaque:
        this.byte();
        this.take(this.varint());
        break;
      case tags.inline:
        this.byte();
        this.refs(found);
        break;
      case tags.tree:
      case tags.blob: {
        this.byte();
        const height = this.varint();
        found(this.ref(), height, tag === tags.tree ? 'leaf' : 'piece');
        break;
      }
      default: {
        if (tag <= tags.true) return;
        const kind = lowKind(tag);
        if (kind === tags.lowTree) found(this.ref(), (tag - kind) >> 2, 'leaf');
        else found(this.ref(), tag - kind, 'piece');
      }
    }
  }
}

function lowKind(tag: number): number {
  if (tag >= tags.lowTree && tag < tags.lowTree + 4 * lowTrees) return tags.lowTree;
  if (tag >= tags.lowText && tag < tags.lowText + lowTexts) return tags.lowText;
  throw damaged(`there is no item with tag ${tag}`);
}

/** A piece's bytes begin with a byte that says how text was written. */
export function encodePiece(writer: Writer, data: string | Uint8Array): void {
  if (typeof data !== 'string') return writer.bytes(data);
  const wide = !isWellFormed(data);
  writer.byte(wide ? 1 : 0);
  writer.reserve(3 * data.length);
  writer.at += writer.buffer.write(data, writer.at, wide ? 'utf16le' : 'utf8');
}

export function decodePiece(type: number, bytes: Buffer): string | Uint8Array {
  if (type !== TEXT) return new Uint8Array(bytes);
  return bytes[0] === 1
    ? bytes.subarray(1).toString('utf16le')
    : bytes.subarray(1).toString('utf8');
}

function isPart(node: Node): node is Piece {
  return node.kind === 'piece' && node.from >= 0;
}

function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

export function damaged(what: string): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_CORRUPT',
    `A stored checkpoint cannot be read: ${what}. Run \`holdfast check\` on the pool`,
  );
}
