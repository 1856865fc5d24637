/**
 * A disk under the files of one folder, as `node:fs/promises` sees it: it notes every call that
 * changes something, in order, can fail any of them, and lays out what a power cut after any of
 * them could leave.
 *
 * After a power cut there is of a file what was synced, and of the rest any of its 512-byte
 * sectors, each in any version that was written since; the length that was synced or a later one;
 * and the names as of the folder's last sync and any number of the changes after it, in order. What
 * was not synced when a sync failed is lost, whatever a later sync says: the system marks such
 * pages clean.
 */
import * as real from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { mkdirSync, readdirSync, readFileSync, rmSync, linkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export const sectorBytes = 512;

export type Call =
  'create' | 'truncate' | 'write' | 'sync' | 'link' | 'unlink' | 'rename' | 'syncFolder';

/** `short`: a write writes a part and says so. */
export type Failure = 'ENOSPC' | 'EDQUOT' | 'EIO' | 'short';

interface Event {
  readonly call: Call;
  readonly file?: number;
  readonly at?: number;
  readonly bytes?: Buffer;
  readonly name?: string;
  readonly to?: string;
  /** It failed, and what was not yet synced is lost. */
  readonly failed?: boolean;
}

interface DurableFile {
  content: Buffer;
  versions: Map<number, Buffer[]>;
  lengths: number[];
  /** As the system shows it now. */
  now: Buffer;
}

export class TargetDisk {
  #folder = '';
  #events: Event[] = [];
  #files: Buffer[] = [];
  #numbers = new Map<string, number>();
  #initial = new Map<string, number>();
  #failAt = -1;
  #failure: Failure = 'EIO';
  /** Plants a mistake: syncs of files are forgotten, and nothing is made durable by them. */
  forgetsSyncs = false;

  /** From here on calls on files in the folder are noted. What is in it is durable. */
  watch(folder: string): void {
    this.#folder = folder;
    this.#events = [];
    this.#files = [];
    this.#numbers.clear();
    for (const name of readdirSync(folder)) {
      this.#numbers.set(name, this.#files.length);
      this.#files.push(readFileSync(join(folder, name)));
    }
    this.#initial = new Map(this.#numbers);
    this.fail(-1);
  }

  /** The call number `at` from now on fails; -1: none does. */
  fail(at: number, how: Failure = 'EIO'): void {
    this.#failAt = at < 0 ? -1 : this.#events.length + at;
    this.#failure = how;
  }

  /** How many calls changed something since watch(). */
  get calls(): readonly Call[] {
    return this.#events.map(({ call }) => call);
  }

  /** In place of `node:fs/promises`. */
  wrap(actual: typeof real): typeof real {
    const mine = (path: unknown): path is string =>
      typeof path === 'string' && this.#folder !== '' && dirname(path) === this.#folder;
    return {
      ...actual,
      open: async (path, flags, mode) => {
        if (path === this.#folder) return this.#folderHandle(await actual.open(path, flags, mode));
        const writes = typeof flags === 'number' && (flags & 1) !== 0;
        if (!mine(path) || !writes) return actual.open(path, flags, mode);
        const name = basename(path);
        const fresh = !this.#numbers.has(name);
        if (fresh) this.#before({ call: 'create', file: this.#files.length, name });
        const handle = await actual.open(path, flags, mode);
        if (fresh) {
          this.#numbers.set(name, this.#files.length);
          this.#files.push(Buffer.alloc(0));
        }
        return this.#fileHandle(handle, this.#numbers.get(name)!);
      },
      link: async (from, to) => {
        if (mine(from))
          this.#before({ call: 'link', name: basename(from), to: basename(String(to)) });
        await actual.link(from, to);
        if (mine(from)) this.#numbers.set(basename(String(to)), this.#numbers.get(basename(from))!);
      },
      rename: async (from, to) => {
        if (mine(from))
          this.#before({ call: 'rename', name: basename(from), to: basename(String(to)) });
        await actual.rename(from, to);
        if (mine(from)) this.#renamed(basename(from), basename(String(to)));
      },
      unlink: async (path) => {
        if (mine(path) && this.#numbers.has(basename(path)))
          this.#before({ call: 'unlink', name: basename(path) });
        await actual.unlink(path);
        if (mine(path)) this.#numbers.delete(basename(path));
      },
    };
  }

  /**
   * State number `which` of those that a power cut behind the first `events` calls can leave, as
   * files in `into`, which is emptied first.
   */
  layOut(into: string, events: number, which: number): void {
    const { files, names } = this.#replay(events, which);
    rmSync(into, { recursive: true, force: true });
    mkdirSync(into);
    const written = new Map<number, string>();
    for (const [name, file] of names) {
      const before = written.get(file);
      if (before !== undefined) linkSync(before, join(into, name));
      else writeFileSync(join(into, name), files[file]!);
      written.set(file, join(into, name));
    }
  }

  #renamed(from: string, to: string): void {
    this.#numbers.set(to, this.#numbers.get(from)!);
    this.#numbers.delete(from);
  }

  // Notes the call, or fails it.
  #before(event: Event): void {
    const fails = this.#events.length === this.#failAt && this.#failure !== 'short';
    if (!fails) {
      this.#events.push(event);
      return;
    }
    this.#failAt = -1;
    if (event.call === 'sync') this.#events.push({ ...event, failed: true });
    // As Node.js says it: of a quota it knows no more than the number.
    const [code, said, errno] = {
      ENOSPC: ['ENOSPC', 'no space left on device', -28],
      EDQUOT: ['Unknown system error -122', 'Unknown system error -122', -122],
      EIO: ['EIO', 'i/o error', -5],
    }[this.#failure as Exclude<Failure, 'short'>] as [string, string, number];
    throw Object.assign(new Error(`${code}: ${said}, ${event.call}`), {
      code,
      errno,
      syscall: event.call,
    });
  }

  #fileHandle(handle: FileHandle, file: number): FileHandle {
    const take = async (
      bytes: Uint8Array,
      offset: number,
      length: number,
      at: number,
    ): Promise<{ bytesWritten: number }> => {
      const short = this.#events.length === this.#failAt && this.#failure === 'short' && length > 1;
      if (short) this.#failAt = -1;
      const taken = short ? Math.floor(length / 3) + 1 : length;
      this.#before({
        call: 'write',
        file,
        at,
        bytes: Buffer.from(bytes.subarray(offset, offset + taken)),
      });
      await handle.write(bytes, offset, taken, at);
      return { bytesWritten: taken };
    };
    const changed: Partial<FileHandle> = {
      write: take as unknown as FileHandle['write'],
      truncate: async (length = 0) => {
        this.#before({ call: 'truncate', file, at: length });
        await handle.truncate(length);
      },
      sync: async () => this.#before({ call: 'sync', file }),
    };
    return withChanges(handle, changed);
  }

  #folderHandle(handle: FileHandle): FileHandle {
    return withChanges(handle, { sync: async () => this.#before({ call: 'syncFolder' }) });
  }

  #replay(events: number, which: number): { files: Buffer[]; names: Map<string, number> } {
    const random = seeded(events * 1000 + which);
    const files: DurableFile[] = this.#files.map((content, i) => {
      const there = [...this.#initial.values()].includes(i) ? content : Buffer.alloc(0);
      return { content: there, versions: new Map(), lengths: [], now: Buffer.from(there) };
    });
    let durable = new Map(this.#initial);
    let undecided: Event[] = [];
    for (const event of this.#events.slice(0, events)) {
      if (
        event.call === 'create' ||
        event.call === 'link' ||
        event.call === 'unlink' ||
        event.call === 'rename'
      )
        undecided.push(event);
      else if (event.call === 'syncFolder') {
        durable = named(durable, undecided);
        undecided = [];
      } else this.#change(files[event.file!]!, event);
    }
    const landed =
      which === 0
        ? 0
        : which === 1
          ? undecided.length
          : Math.floor(random() * (undecided.length + 1));
    return {
      files: files.map((file) => left(file, which, random)),
      names: named(durable, undecided.slice(0, landed)),
    };
  }

  #change(file: DurableFile, { call, at = 0, bytes, failed }: Event): void {
    if (call === 'sync') {
      if (this.forgetsSyncs) return;
      if (!failed) file.content = leftOf(file, () => true);
      file.versions.clear();
      file.lengths = [];
      return;
    }
    const length = call === 'truncate' ? at : Math.max(file.now.length, at + bytes!.length);
    const grown = Buffer.alloc(length);
    file.now.copy(grown, 0, 0, length);
    bytes?.copy(grown, at);
    file.now = grown;
    file.lengths.push(length);
    if (bytes === undefined) return;
    for (
      let sector = Math.floor(at / sectorBytes);
      sector * sectorBytes < at + bytes.length;
      sector++
    ) {
      const version = Buffer.alloc(sectorBytes);
      grown.copy(version, 0, sector * sectorBytes, Math.min(length, (sector + 1) * sectorBytes));
      file.versions.set(sector, [...(file.versions.get(sector) ?? []), version]);
    }
  }
}

/**
 * Of the sectors that were not synced those that `landed` says, in their newest version or the one
 * it names.
 */
function leftOf(
  file: DurableFile,
  landed: (sector: number) => boolean,
  length = file.lengths.at(-1) ?? file.content.length,
  older = () => false,
): Buffer {
  const out = Buffer.alloc(length);
  file.content.copy(out, 0, 0, length);
  for (const [sector, versions] of file.versions) {
    if (!landed(sector)) continue;
    const version = older() ? versions[0]! : versions.at(-1)!;
    version.copy(
      out,
      sector * sectorBytes,
      0,
      Math.max(0, Math.min(sectorBytes, length - sector * sectorBytes)),
    );
  }
  return out;
}

function left(file: DurableFile, which: number, random: () => number): Buffer {
  if (which === 0) return file.content;
  if (which === 1) return leftOf(file, () => true);
  const lengths = [file.content.length, ...file.lengths];
  const length =
    which % 2 === 0 ? lengths.at(-1)! : lengths[Math.floor(random() * lengths.length)]!;
  const most = [...file.versions.keys()].reduce((a, b) => Math.max(a, b), 0);
  const cut = random() * (most + 1);
  const share = random();
  const kind = which % 3;
  const landed = (sector: number): boolean =>
    kind === 0 ? sector < cut : kind === 1 ? sector > cut : random() < share;
  return leftOf(file, landed, length, () => random() < 0.3);
}

function named(names: Map<string, number>, changes: readonly Event[]): Map<string, number> {
  const out = new Map(names);
  for (const { call, name, to, file } of changes) {
    if (call === 'create') out.set(name!, file!);
    else if (call === 'unlink') out.delete(name!);
    else {
      out.set(to!, out.get(name!)!);
      if (call === 'rename') out.delete(name!);
    }
  }
  return out;
}

function withChanges(handle: FileHandle, changed: Partial<FileHandle>): FileHandle {
  return new Proxy(handle, {
    get(target, name) {
      const given =
        (changed as Record<string | symbol, unknown>)[name] ?? Reflect.get(target, name, target);
      return typeof given === 'function'
        ? (given as (...args: unknown[]) => unknown).bind(target)
        : given;
    },
  });
}

function seeded(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
