/** An outline step by step: what the steps are, and comparing by following them. */
import { types } from 'node:util';

import { countOwn, isPlain } from '../plain-data';

/** Steps of an outline, beside the names of fields and the lengths of lists. */
export const steps = {
  /** The fields of a plain object follow, each a name and a value, and then `end`. */ object: -1,
  end: -2,
  /** Its length follows, and so many values. */ list: -3,
  number: -4,
  /** Text, a flag, null, undefined, or a bigint. */ simple: -5,
  moment: -6,
  /** The very object that came before; which of them follows. */ again: -7,
} as const;

export type Step = string | number;

/** See `Outline.compare`. */
export function isStill(
  live: object,
  outline: readonly Step[],
  values: readonly unknown[],
  lenient: boolean,
  from = 0,
): boolean {
  return new Walk(outline, values, lenient, from).object(live);
}

/** So many values an outline goes with. */
export function valuesOf(outline: readonly Step[]): number {
  let count = 0;
  for (let at = 0; at < outline.length; ++at) {
    const step = outline[at];
    // Of an object within its identity is one, of the outermost it is not.
    if (
      step === steps.number ||
      step === steps.simple ||
      step === steps.moment ||
      (step === steps.object && at > 0)
    )
      ++count;
  }
  return count;
}

class Walk {
  private at = 0;
  private readonly objects: object[] = [];

  constructor(
    private readonly outline: readonly Step[],
    private readonly values: readonly unknown[],
    private readonly lenient: boolean,
    private taken: number,
  ) {}

  object(live: object): boolean {
    const { outline } = this;
    this.objects.push(live);
    if (outline[this.at++] === steps.object) {
      for (const name in live) {
        if (outline[this.at] !== name) return false;
        ++this.at;
        if (!this.value((live as Record<string, unknown>)[name])) return false;
      }
      return outline[this.at++] === steps.end;
    }
    const length = outline[this.at++];
    if (!Array.isArray(live) || live.length !== length) return false;
    if (!this.lenient && countOwn(live) !== length) return false;
    for (let i = 0; i < length; ++i) if (!this.value(live[i])) return false;
    return true;
  }

  private value(now: unknown): boolean {
    switch (this.outline[this.at]) {
      case steps.object:
        return (
          typeof now === 'object' &&
          now !== null &&
          (this.values[this.taken++] === now || isPlain(now)) &&
          this.object(now)
        );
      case steps.list:
        return typeof now === 'object' && now !== null && this.object(now);
      case steps.again:
        this.at += 2;
        return this.objects[this.outline[this.at - 1] as number] === now;
      case steps.moment:
        ++this.at;
        return isMoment(now, this.values[this.taken++] as number);
      default:
        ++this.at;
        return Object.is(this.values[this.taken++], now);
    }
  }
}

export function isMoment(now: unknown, ms: number): boolean {
  return typeof now === 'object' && types.isDate(now) && Object.is(now.getTime(), ms);
}
