/** The programs of random-programs.cjs, as this test uses them. */
export interface Operation {
  readonly kind: string;
  readonly name: string;
  /** Its place in the program. */
  readonly at: string;
  readonly safety: 'readOnly' | 'idempotent' | 'effect';
  readonly probe: boolean;
  /** So many attempts fail and say that nothing happened. */
  readonly refuses: number;
  /** Its first attempt fails although it happened. */
  readonly throws: boolean;
  /** Every other attempt fails once what is within it is done. */
  readonly breaks: boolean;
  readonly timeout?: number;
  /** Its signal aborts behind so many milliseconds. */
  readonly aborts?: number;
  readonly ms: number;
  /** From which generation of the code on it is there. */
  readonly since: number;
  /** A rollback: the code goes on when it fails. */
  readonly caught?: boolean;
  readonly inner?: readonly Operation[];
  readonly beside?: readonly Operation[];
}

interface Programs {
  readonly ALL_KINDS: readonly string[];
  operationsOf(ops: readonly Operation[]): Iterable<Operation>;
  programOf(
    seed: string,
    run: string,
    kinds: readonly string[],
  ): { ops: readonly Operation[]; undone: boolean };
  random(text: string): Dice;
}

/** From 0 to below `limit`. */
export type Dice = (limit: number) => number;

const programs = require('../random-programs.cjs') as Programs;

export const { operationsOf, random } = programs;
export const programOf = (seed: string, run: string) =>
  programs.programOf(seed, run, programs.ALL_KINDS);
