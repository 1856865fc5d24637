/**
 * A copy of a value that is kept whole, with what is stored in place of its instances. What the
 * value reaches on several ways the copy reaches on as many: it is as tangled, and no larger.
 */
import { flatten, isInstance, OTHER, shapeOf } from './kinds';
import type { SameOptions, View } from './same';
import { ARRAY, MAP, OBJECT, SET } from './shadow';

/** Deeper the codec refuses it, and says so. */
const deepest = 1100;

export function withStandIns(value: unknown, view: View, { lenient }: SameOptions): unknown {
  return new Copier(view, lenient === true).copy(value, 0);
}

class Copier {
  /** Itself while its stand-in is being made. */
  private readonly copies = new Map<object, unknown>();

  constructor(
    private readonly view: View,
    private readonly lenient: boolean,
  ) {}

  copy(value: unknown, depth: number): unknown {
    if (this.lenient && (typeof value === 'function' || typeof value === 'symbol'))
      return undefined;
    if (typeof value !== 'object' || value === null || depth > deepest) return value;
    if (this.copies.has(value)) return this.copies.get(value);
    const shape = shapeOf(value);
    if (shape === OTHER) return value;
    if (isInstance(value, shape)) {
      this.copies.set(value, value);
      const { value: standIn } = this.view(value);
      if (standIn !== value) {
        const copied = this.copy(standIn, depth);
        this.copies.set(value, copied);
        return copied;
      }
    }
    return this.container(value, shape, depth + 1);
  }

  private container(live: object, shape: number, depth: number): object {
    const made = shape === ARRAY ? [] : shape === MAP ? new Map() : shape === SET ? new Set() : {};
    this.copies.set(live, made);
    const items = flatten(live, shape);
    if (shape === ARRAY) for (const item of items) (made as unknown[]).push(this.copy(item, depth));
    else if (shape === SET)
      for (const item of items) (made as Set<unknown>).add(this.copy(item, depth));
    else
      for (let at = 0; at < items.length; at += 2) {
        const name = shape === OBJECT ? items[at] : this.copy(items[at], depth);
        const item = this.copy(items[at + 1], depth);
        if (shape === MAP) (made as Map<unknown, unknown>).set(name, item);
        else
          Object.defineProperty(made, name as string, {
            value: item,
            enumerable: true,
            writable: true,
            configurable: true,
          });
      }
    return made;
  }
}
