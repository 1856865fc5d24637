/**
 * What was last saved or loaded of each thread's namespaces: the next checkpoint is laid on it, and
 * need not read it. Only a memory: what is not here is read from the pool.
 *
 * It is bounded by what it keeps in memory, not by the number of threads: a thousand small threads
 * that are driven at once are all remembered, a few very large ones are not. Who was not saved for
 * longest is forgotten first.
 */
import type { Shadow } from '../../checkpoint/index';
import { heldBy } from '../../checkpoint/shadow';
import type { Lives } from './sends';
import type { LongTexts } from './written';

/** The last checkpoint of a thread's namespace. */
export interface Line {
  readonly id: string;
  /** As it is stored. */
  readonly record: Uint8Array;
  readonly family: number;
  readonly root: Uint8Array;
  readonly shadow: Shadow;
  /** What its channels were made of, where it was saved here. */
  readonly lives?: Lives;
  /** That it stored, and the writes on it, where these were saved here. */
  readonly texts?: LongTexts;
  /** Those of writes on another: with durability `async` writes come before their checkpoint. */
  other?: { readonly id: string; readonly texts: LongTexts };
}

interface Kept {
  readonly line: Line;
  readonly bytes: number;
}

/** What a line takes beside its shadow, about. */
const lineBytes = 1024;

export class Lines {
  /** Of each thread the namespaces; both with the one that was saved last at the end. */
  readonly #threads = new Map<string, Map<string, Kept>>();
  #bytes = 0;

  /** `most`: bytes of memory that are kept, about. The newest line stays, however large it is. */
  constructor(private readonly most = 128 * 1024 * 1024) {}

  get(thread: string, namespace: string): Line | undefined {
    return this.#threads.get(thread)?.get(namespace)?.line;
  }

  /** Of what is stored with a checkpoint of the namespace and its writes, if that is known. */
  textsOf(thread: string, namespace: string, id: string): LongTexts | undefined {
    const line = this.get(thread, namespace);
    return line?.id === id ? line.texts : line?.other?.id === id ? line.other.texts : undefined;
  }

  set(thread: string, namespace: string, line: Line): void {
    this.#forget(thread, namespace);
    const { record, shadow, texts, other } = line;
    const ofTexts = (texts?.bytes ?? 0) + (other?.texts.bytes ?? 0);
    const bytes = lineBytes + record.length + heldBy(shadow) + ofTexts;
    const its = this.#threads.get(thread) ?? new Map<string, Kept>();
    this.#threads.delete(thread);
    this.#threads.set(thread, its.set(namespace, { line, bytes }));
    this.#bytes += bytes;
    while (this.#bytes > this.most) {
      const [oldest, namespaces] = this.#threads.entries().next().value!;
      if (namespaces === its && its.size === 1) return;
      this.delete(oldest, namespaces.keys().next().value!);
    }
  }

  delete(thread: string, namespace: string): void {
    this.#forget(thread, namespace);
    if (this.#threads.get(thread)?.size === 0) this.#threads.delete(thread);
  }

  deleteThread(thread: string): void {
    for (const namespace of [...(this.#threads.get(thread)?.keys() ?? [])])
      this.delete(thread, namespace);
  }

  #forget(thread: string, namespace: string): void {
    const its = this.#threads.get(thread);
    this.#bytes -= its?.get(namespace)?.bytes ?? 0;
    its?.delete(namespace);
  }
}
