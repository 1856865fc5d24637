/**
 * How objects are built: the names of their fields in their order, and of what kind each value is.
 * Objects of one class, or out of one parser, mostly share an outline; so comparing them with what
 * they were is one function for all of them, generated when it pays.
 *
 * Where code must not be generated (`--disallow-code-generation-from-strings`) the outline is
 * followed step by step instead.
 */
import { type Comparison, generate } from './generated';
import { isStill, type Step, valuesOf } from './steps';

/** Comparisons until code is generated, which takes as long as some hundred of them. */
const usesBeforeCode = 256;
/** Longer ones would be long functions. */
const longest = 512;
/** So many functions there are at most, however many outlines come by in a process. */
const mostCode = 256;
/** And so many outlines are remembered, counted in their steps. */
const mostSteps = 65_536;

let generated = 0;
let isRefused = false;

export class Outline {
  private uses = 0;
  private code: Comparison | undefined;
  /** So many values are taken of an object that is built so. */
  readonly size: number;

  private constructor(readonly steps: readonly Step[]) {
    this.size = valuesOf(steps);
  }

  /** The one with these steps. They are copied. */
  static of(taken: readonly Step[]): Outline {
    let at = root;
    for (let i = 0; i < taken.length; ++i) {
      let next = at.next.get(taken[i]!);
      if (next === undefined) {
        if (++rememberedSteps > mostSteps) forget();
        at.next.set(taken[i]!, (next = new Place()));
      }
      at = next;
    }
    return (at.outline ??= new Outline(taken.slice()));
  }

  isOf(taken: readonly Step[]): boolean {
    const { steps: own } = this;
    if (own.length !== taken.length) return false;
    for (let i = 0; i < own.length; ++i) if (own[i] !== taken[i]) return false;
    return true;
  }

  /**
   * Is `live`, by all its fields, what `values`, the one `from` there and those behind it, were
   * taken of? What it is itself, a list or a plain object, is the caller's to look at. `lenient`:
   * properties of a list beside its elements are not looked for.
   */
  compare(live: object, values: readonly unknown[], lenient: boolean, from: number): boolean {
    if (this.code !== undefined) return this.code(live, values, lenient, from);
    if (++this.uses === usesBeforeCode) this.generate();
    return isStill(live, this.steps, values, lenient, from);
  }

  /** Comparing is by generated code from now on, where that is allowed. */
  generate(): void {
    if (isRefused || generated >= mostCode || this.steps.length > longest) return;
    try {
      this.code = generate(this.steps);
      ++generated;
    } catch (error) {
      if (!(error instanceof EvalError)) throw error;
      isRefused = true;
    }
  }
}

/** A beginning that outlines share. */
class Place {
  readonly next = new Map<Step, Place>();
  outline: Outline | undefined;
}

let root = new Place();
let rememberedSteps = 0;

function forget(): void {
  root = new Place();
  rememberedSteps = 0;
}
