/** Reading nodes and items, as `wire.ts` says, from bytes that may be damaged. */
import { Back, type Blob, Leaf, Moment, Opaque, type Ref, type Shadow, TEXT, Tree } from './shadow';
import { damaged, inRuns, lowTexts, lowTrees, tags } from './wire';

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

export function decodePiece(type: number, bytes: Buffer): string | Uint8Array {
  if (type !== TEXT) return new Uint8Array(bytes);
  return bytes[0] === 1
    ? bytes.subarray(1).toString('utf16le')
    : bytes.subarray(1).toString('utf8');
}
