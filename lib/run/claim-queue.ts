/** Claims that wait, in the order they came, until each is given a run or told why not. */
import { onAbort } from '../abort';
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

export class ClaimQueue {
  readonly #claims = new Set<Claim>();

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
          leave();
          resolve(run);
        },
        reject: (error) => {
          leave();
          reject(error as Error);
        },
      };
      const leaveSignal = onAbort(signal, () => {
        claim.reject(abortedError(signal!, 'The claim'));
        if (this.#claims.size === 0) this.onEmpty();
      });
      const leave = (): void => {
        this.#claims.delete(claim);
        leaveSignal();
      };
      this.#claims.add(claim);
    });
  }

  rejectAll(error: unknown): void {
    for (const claim of [...this.#claims]) claim.reject(error);
  }
}
