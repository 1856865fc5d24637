/** Claims that wait, in the order they came, until each is given a run or told why not. */
import { abortedError } from '../errors';
import type { DurableRun } from './run';
import type { RunOptions } from './types';

export interface Claim {
  readonly prefix: string;
  readonly driving: RunOptions;
  /** A run is being opened for it. */
  opening: boolean;
  /** Both take it from the queue. */
  readonly resolve: (run: DurableRun) => void;
  readonly reject: (error: unknown) => void;
}

/** One listener for all claims of a signal, which are as many as a worker has runs at once. */
interface Abortable {
  readonly claims: Set<Claim>;
  readonly onAbort: () => void;
}

export class ClaimQueue {
  readonly #claims = new Set<Claim>();
  readonly #abortable = new Map<AbortSignal, Abortable>();

  /** `onEmpty`: the last one was aborted. */
  constructor(private readonly onEmpty: () => void) {}

  get size(): number {
    return this.#claims.size;
  }

  [Symbol.iterator](): IterableIterator<Claim> {
    return this.#claims.values();
  }

  has(claim: Claim): boolean {
    return this.#claims.has(claim);
  }

  add(prefix: string, driving: RunOptions, signal?: AbortSignal): Promise<DurableRun> {
    return new Promise((resolve, reject) => {
      const claim: Claim = {
        prefix,
        driving,
        opening: false,
        resolve: (run) => {
          this.#leave(claim, signal);
          resolve(run);
        },
        reject: (error) => {
          this.#leave(claim, signal);
          reject(error as Error);
        },
      };
      this.#claims.add(claim);
      if (signal) this.#of(signal).claims.add(claim);
    });
  }

  rejectAll(error: unknown): void {
    for (const claim of [...this.#claims]) claim.reject(error);
  }

  #of(signal: AbortSignal): Abortable {
    let abortable = this.#abortable.get(signal);
    if (abortable) return abortable;
    const claims = new Set<Claim>();
    const onAbort = (): void => {
      for (const claim of [...claims]) claim.reject(abortedError(signal, 'The claim'));
      if (this.#claims.size === 0) this.onEmpty();
    };
    signal.addEventListener('abort', onAbort);
    this.#abortable.set(signal, (abortable = { claims, onAbort }));
    return abortable;
  }

  #leave(claim: Claim, signal: AbortSignal | undefined): void {
    this.#claims.delete(claim);
    const abortable = signal && this.#abortable.get(signal);
    if (!abortable?.claims.delete(claim) || abortable.claims.size > 0) return;
    signal!.removeEventListener('abort', abortable.onAbort);
    this.#abortable.delete(signal!);
  }
}
