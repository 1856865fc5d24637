/**
 * The nodes of all saved values of a pool, in pages.
 *
 * A save appends what is new as one page (more when it is large) to the caller's batch, so it
 * becomes visible with the caller's commit or not at all. Pages belong to a family: the values that
 * may share nodes. A page is never changed but by `sweep`, which leaves out slots that nobody
 * refers to. Page numbers are handed out in blocks, so two writers never take the same.
 */
import { isConflict } from '../errors';
import { type Change, Slices } from '../slices';
import type { Batch, Keyspace, PoolCore, Snapshot } from '../types';
import { Held } from './held';
import { type Child, decodePiece, Reader, type Resolver } from './reading';
import {
  Blob,
  Leaf,
  type Levels,
  type Node,
  Piece,
  type Ref,
  type Shadow,
  Spine,
  TEXT,
  Tree,
} from './shadow';
import { damaged } from './wire';
import { encodePiece, Writer } from './writing';

const pageBytes = 64 * 1024;
/** Room in front of the slots that are written, for the lengths of so many. */
const headBytes = 128;
const headSlots = 24;
const blockOfNumbers = 1024;
const cachedPages = 8192;
/** Of pages, until what is remembered between reads is forgotten. */
const rememberedBytes = 32 * 1024 * 1024;

export interface SweepReport {
  /** Bytes of pages that were given up. */
  freed: number;
  pages: number;
}

/** Reads what was saved: shadows, which are never changed. */
export interface Parts {
  read(family: number, root: Uint8Array): Shadow;
}

export class PartStore implements Parts {
  readonly #pages: Keyspace<Uint8Array, Uint8Array>;
  readonly #numbers: Keyspace<string, number | bigint>;
  #nextNumber = 0;
  #endOfBlock = 0;

  static readonly #ofPool = new WeakMap<PoolCore, PartStore>();

  static of(pool: PoolCore): PartStore {
    let store = PartStore.#ofPool.get(pool);
    if (store === undefined) PartStore.#ofPool.set(pool, (store = new PartStore(pool)));
    return store;
  }

  private constructor(readonly pool: PoolCore) {
    this.#pages = pool.keyspace('holdfast.pages', { key: 'bytes', value: 'bytes' });
    this.#numbers = pool.keyspace('holdfast.numbers', { key: 'utf8', value: 'uint64' });
  }

  /**
   * A number nobody else gets: for pages, and for families. A crash leaves at most a block of
   * numbers unused.
   */
  number(): number {
    if (this.#nextNumber === this.#endOfBlock) this.#takeBlock();
    return this.#nextNumber++;
  }

  #takeBlock(): void {
    for (;;) {
      const free = this.#numbers.get('next');
      const first = Number(free ?? 1);
      const batch = this.pool.batch();
      if (free === undefined) batch.requireAbsent(this.#numbers, 'next');
      else batch.requireEqual(this.#numbers, 'next', free);
      try {
        this.pool.commitSync(batch.put(this.#numbers, 'next', first + blockOfNumbers));
      } catch (error) {
        // Another thread took this block; the next may be ours.
        if (isConflict(error)) continue;
        throw error;
      }
      this.#nextNumber = first;
      this.#endOfBlock = first + blockOfNumbers;
      return;
    }
  }

  /**
   * Adds the nodes of `root` that are not stored yet; gives the bytes that find it again, valid
   * until the next call, how much was added, and the long texts among that.
   */
  write(
    batch: Batch,
    family: number,
    root: Shadow,
  ): { root: Uint8Array; bytes: number; texts: readonly Blob[] } {
    const pages = new PageWriter(this, batch, this.#pages, family);
    pages.settle(root);
    pages.flush();
    return { root: encodeRoot(root), bytes: pages.bytes, texts: pages.texts };
  }

  read(family: number, root: Uint8Array, snapshot?: Snapshot): Shadow {
    return new PageReader(this.#pages, family, snapshot).root(root);
  }

  /**
   * For reading many values that are alike, one after the other: what one shares with those before
   * it is decoded once. A node never changes and its place is never used again, so it stays true
   * whatever is committed meanwhile; it is remembered as long as the reader, of `most` bytes of
   * pages, about.
   */
  reader(most = rememberedBytes): Parts {
    let of: number | undefined;
    let pages!: PageReader;
    return {
      read: (family, root) => {
        if (family !== of || pages.bytes > most)
          pages = new PageReader(this.#pages, family, undefined);
        of = family;
        return pages.root(root);
      },
    };
  }

  /** Gives back what in a family's pages no root leads to, of the pages that `snapshot` shows. */
  async sweep(
    family: number,
    roots: Iterable<Uint8Array>,
    snapshot: Snapshot,
    guard: (batch: Batch) => void,
  ): Promise<SweepReport> {
    const reader = new PageReader(this.#pages, family, snapshot);
    const live = reader.mark(roots);
    const report: SweepReport = { freed: 0, pages: 0 };
    const slices = new Slices(this.pool, guard);
    for (const key of this.#pages.keys({ prefix: pageKey(family), snapshot })) {
      const page = Buffer.from(key).readUIntBE(6, 6);
      const kept = live.get(page);
      if (kept === undefined) {
        report.freed += reader.lengthOf(page);
        ++report.pages;
        slices.batch.delete(this.#pages, key);
      } else {
        const smaller = reader.without(page, kept);
        if (smaller === undefined) continue;
        report.freed += reader.lengthOf(page) - smaller.length;
        slices.batch.put(this.#pages, key, smaller);
      }
      reader.forget(page);
      await slices.cut();
    }
    await slices.end();
    return report;
  }

  /** Deletes all of a family's pages, in slices. */
  async drop(family: number): Promise<void> {
    const slices = new Slices(this.pool);
    for (const remove of this.dropping(family)) {
      remove(slices.batch);
      await slices.cut();
    }
    await slices.end();
  }

  /** For commits of the caller's own: each deletes one of a family's pages. */
  *dropping(family: number): IterableIterator<Change> {
    for (const key of this.#pages.keys({ prefix: pageKey(family) }))
      yield (batch) => void batch.delete(this.#pages, key);
  }
}

const wholeKey = Buffer.allocUnsafeSlow(12);
const familyKey = wholeKey.subarray(0, 6);

/** Valid until the next call. */
function pageKey(family: number, page?: number): Buffer {
  wholeKey.writeUIntBE(family, 0, 6);
  if (page === undefined) return familyKey;
  wholeKey.writeUIntBE(page, 6, 6);
  return wholeKey;
}

const rootWriter = new Writer();

/** Valid until the next call. */
function encodeRoot(root: Shadow): Uint8Array {
  rootWriter.at = 0;
  rootWriter.varint(1);
  rootWriter.item(root);
  return rootWriter.written;
}

const slotWriter = new Writer();

class PageWriter {
  bytes = 0;
  readonly texts: Blob[] = [];
  private readonly lengths: number[] = [];
  private current = 0;

  constructor(
    private readonly store: PartStore,
    private readonly batch: Batch,
    private readonly pages: Keyspace<Uint8Array, Uint8Array>,
    private readonly family: number,
  ) {
    slotWriter.at = headBytes;
  }

  /** Stores what `shadow` refers to, deepest first, so that it can be written itself. */
  settle(shadow: Shadow): void {
    if (typeof shadow !== 'object' || shadow === null) return;
    if (shadow.kind === 'blob') {
      if (shadow.type === TEXT && shadow.top.ref === undefined) this.texts.push(shadow);
      this.node(shadow.top);
    } else if (shadow.kind === 'tree') {
      if (shadow.inline) for (const item of shadow.leaves[0]!.items) this.settle(item);
      else if (shadow.ref === undefined) {
        this.node(shadow.top);
        shadow.ref = shadow.top.ref;
      }
    }
  }

  private node(node: Node): void {
    if (node.ref !== undefined) return;
    if (node.kind === 'spine') for (const child of node.children) this.node(child);
    else if (node.kind === 'leaf') for (const item of node.items) this.settle(item);
    const start = slotWriter.at;
    if (node.kind === 'piece') {
      encodePiece(slotWriter, node.data!);
      node.data = undefined;
    } else if (node.kind === 'leaf') slotWriter.items(node.items);
    else slotWriter.children(node.children);
    if (this.current === 0) this.current = this.store.number();
    node.ref = { page: this.current, slot: this.lengths.length };
    this.lengths.push(slotWriter.at - start);
    if (slotWriter.at >= pageBytes) this.flush();
  }

  flush(): void {
    const { lengths } = this;
    if (lengths.length === 0) return;
    const page =
      lengths.length <= headSlots
        ? slotWriter.headed(lengths, headBytes)
        : assemble(lengths, slotWriter.buffer.subarray(headBytes, slotWriter.at));
    this.batch.put(this.pages, pageKey(this.family, this.current), page);
    this.bytes += page.length;
    lengths.length = 0;
    this.current = 0;
    slotWriter.at = headBytes;
  }
}

const headWriter = new Writer();

/** A page of slots. Valid until the next call. */
function assemble(lengths: readonly number[], slots: Uint8Array): Uint8Array {
  headWriter.at = 0;
  headWriter.varint(lengths.length);
  for (const length of lengths) headWriter.varint(length);
  headWriter.bytes(slots);
  return headWriter.written;
}

/** What was read of a page, and made of its slots, by their numbers. */
interface Page {
  readonly slots: readonly Buffer[];
  readonly nodes: (Leaf | Spine | undefined)[];
  /** Trees and blobs, by their tops. */
  readonly wholes: (Tree | Blob | undefined)[];
}

class PageReader implements Resolver {
  /** Of all pages that were read. */
  bytes = 0;
  readonly #cache = new Map<number, Page>();

  constructor(
    private readonly pages: Keyspace<Uint8Array, Uint8Array>,
    private readonly family: number,
    private readonly snapshot: Snapshot | undefined,
  ) {}

  root(bytes: Uint8Array): Shadow {
    return this.#reader(bytes).items(this)[0];
  }

  tree(shape: number, height: number, ref: Ref): Tree {
    const { wholes } = this.#page(ref.page);
    const known = wholes[ref.slot];
    if (known?.kind === 'tree' && known.shape === shape && known.levels.length === height)
      return known;
    let nodes: readonly Node[] = [this.#node(ref, height)];
    const levels: (readonly Spine[])[] = [];
    for (let level = height; level > 0; --level) {
      levels.unshift(nodes as readonly Spine[]);
      nodes = (nodes as readonly Spine[]).flatMap(({ children }) => children);
    }
    const tree = new Tree(shape, nodes as readonly Leaf[], undefined, levels);
    wholes[ref.slot] = tree;
    return tree;
  }

  /** A leaf, or what is over leaves. */
  #node({ page, slot }: Ref, height: number): Leaf | Spine {
    const { nodes } = this.#page(page);
    const known = nodes[slot];
    if (known?.kind === (height === 0 ? 'leaf' : 'spine')) return known;
    const ref = { page, slot };
    const node =
      height === 0
        ? new Leaf(this.#reader(this.#slot(ref)).items(this))
        : new Spine(this.#children(ref).map((child) => this.#node(child, height - 1)));
    node.ref = ref;
    nodes[slot] = node;
    return node;
  }

  blob(type: number, height: number, ref: Ref): Blob {
    const { wholes } = this.#page(ref.page);
    const known = wholes[ref.slot];
    if (known?.kind === 'blob' && known.type === type && known.levels.length === height)
      return known;
    const data: (string | Uint8Array)[] = [];
    const { pieces, levels } = this.#pieces(type, height, ref, data);
    const text = type === TEXT ? data.join('') : '';
    const held = type === TEXT ? undefined : Held.copyOf(Buffer.concat(data as Uint8Array[]));
    const blob = new Blob(type, text, held, pieces, levels);
    wholes[ref.slot] = blob;
    return blob;
  }

  #piece(type: number, at: Child, data: (string | Uint8Array)[]): Piece {
    const { page, slot, from, length } = at;
    const whole = decodePiece(type, this.#slot(at));
    const part =
      from < 0
        ? whole
        : typeof whole === 'string'
          ? whole.substring(from, from + length)
          : whole.subarray(from, from + length);
    if (from >= 0 && part.length !== length)
      throw damaged(`slot ${slot} of page ${page} is too short`);
    data.push(part);
    return new Piece(part.length, undefined, { page, slot }, from);
  }

  /** The pieces of a blob, and the spines over them as they are stored. */
  #pieces(
    type: number,
    height: number,
    ref: Ref,
    data: (string | Uint8Array)[],
  ): { pieces: Piece[]; levels: Levels } {
    const children: Child[][] = [];
    const counts: number[][] = [];
    const refs: Ref[][] = [[ref]];
    for (let level = height; level > 0; --level) {
      const lists = refs[0]!.map((at) => this.#children(at));
      counts.unshift(lists.map(({ length }) => length));
      children.unshift(lists.flat());
      refs.unshift(children[0]!);
    }
    const lowest = children[0] ?? [{ ...ref, from: -1, length: 0 }];
    const pieces = lowest.map((at) => this.#piece(type, at, data));
    const levels: Spine[][] = [];
    let below: readonly Node[] = pieces;
    for (let level = 0; level < height; ++level) {
      let at = 0;
      const spines = counts[level]!.map((count, i) => {
        const spine = new Spine(below.slice(at, (at += count)));
        spine.ref = refs[level + 1]![i];
        return spine;
      });
      levels.push(spines);
      below = spines;
    }
    return { pieces, levels };
  }

  #children(ref: Ref): Child[] {
    return this.#reader(this.#slot(ref)).children();
  }

  #reader(bytes: Uint8Array): Reader {
    return new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  #slot({ page, slot }: Ref): Buffer {
    const bytes = this.#page(page).slots[slot];
    if (bytes === undefined) throw damaged(`page ${page} has no slot ${slot}`);
    return bytes;
  }

  #page(page: number): Page {
    const known = this.#cache.get(page);
    if (known !== undefined) return known;
    if (this.#cache.size >= cachedPages) this.#cache.clear();
    const bytes = this.pages.get(pageKey(this.family, page), { snapshot: this.snapshot });
    if (bytes === undefined) throw damaged(`page ${page} of family ${this.family} is not there`);
    const reader = this.#reader(bytes);
    const lengths: number[] = [];
    for (let left = reader.varint(); left > 0; --left) lengths.push(reader.varint());
    const slots = lengths.map((length) => reader.take(length));
    const found: Page = { slots, nodes: [], wholes: [] };
    this.#cache.set(page, found);
    this.bytes += bytes.length;
    return found;
  }

  /** Which slots of which pages the roots lead to. */
  mark(roots: Iterable<Uint8Array>): Map<number, Set<number>> {
    const live = new Map<number, Set<number>>();
    const waiting: { ref: Ref; height: number; leads: 'leaf' | 'piece' }[] = [];
    const found = (ref: Ref, height: number, leads: 'leaf' | 'piece'): void => {
      let slots = live.get(ref.page);
      if (slots === undefined) live.set(ref.page, (slots = new Set()));
      if (slots.has(ref.slot)) return;
      slots.add(ref.slot);
      if (height > 0 || leads === 'leaf') waiting.push({ ref, height, leads });
    };
    for (const root of roots) {
      this.#reader(root).refs(found);
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
        const { ref, height, leads } = next;
        if (height > 0) for (const child of this.#children(ref)) found(child, height - 1, leads);
        else this.#reader(this.#slot(ref)).refs(found);
      }
    }
    return live;
  }

  lengthOf(page: number): number {
    return this.#page(page).slots.reduce((sum, slot) => sum + slot.length + 2, 2);
  }

  /**
   * The page with only these slots; undefined when that would not save much. Valid until the next
   * call.
   */
  without(page: number, kept: ReadonlySet<number>): Uint8Array | undefined {
    const slots = this.#page(page).slots;
    const dead = slots.reduce((sum, slot, at) => (kept.has(at) ? sum : sum + slot.length), 0);
    if (dead < 64 && dead * 4 < this.lengthOf(page)) return undefined;
    const left = slots.map((slot, at) => (kept.has(at) ? slot : slot.subarray(0, 0)));
    return assemble(
      left.map((slot) => slot.length),
      Buffer.concat(left),
    );
  }

  /** Its bytes are not needed again. */
  forget(page: number): void {
    this.#cache.delete(page);
  }
}
