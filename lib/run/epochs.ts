/**
 * Which commit each entry of a journal was part of.
 *
 * An entry is written before its own epoch is known, so its epoch stands in the one after it (or in
 * the header, behind the end). A process that is killed leaves its last entries without: of those
 * the log tells the epoch, and the next driver writes it down, because a cleaned segment forgets
 * it. Reading; changes nothing.
 */
import type { Entry, Epochs } from './entries';
import type { Journals } from './journals';

/** The epoch of an entry stands in the next one; where steps ran side by side, a few further on. */
export const LOOK_AHEAD = 32;

export class EpochsOf {
  readonly #known = new Map<number, number>();

  constructor(
    private readonly journals: Journals,
    private readonly run: string,
  ) {
    this.learn(journals.headers.get(run)?.epochs);
    this.learn(journals.fresh.get(run));
  }

  learn(epochs: Epochs | undefined): void {
    for (const [sequence, epoch] of epochs ?? []) this.#known.set(sequence, epoch);
  }

  /** Undefined where nobody has written it down and the log no longer tells it. */
  of(sequence: number): number | undefined {
    return this.#known.get(sequence) ?? this.#inLog(sequence);
  }

  /** Of these entries, which end the journal: those that nobody has written down. */
  unwritten(entries: readonly (readonly [sequence: number, entry: Entry])[]): Epochs {
    for (const [, entry] of entries) this.learn(entry.epochs);
    return entries
      .filter(([sequence]) => !this.#known.has(sequence))
      .map(([sequence]) => [sequence, this.#inLog(sequence)] as const)
      .filter((pair): pair is readonly [number, number] => pair[1] !== undefined);
  }

  #inLog(sequence: number): number | undefined {
    return this.journals.entries.writtenAt({ run: this.run, sequence });
  }
}

/** What a new driver of the run has to write down for the one that was killed. */
export function unwrittenEpochs(journals: Journals, run: string, nextSequence: number): Epochs {
  const last = [...journals.read(run, Math.max(0, nextSequence - LOOK_AHEAD))];
  return new EpochsOf(journals, run).unwritten(last);
}
