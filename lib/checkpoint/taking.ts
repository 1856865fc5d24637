/**
 * Taking mirrors: going once through an object, or through what is stored, for its outline and its
 * values.
 *
 * Only of what is made of plain objects, lists, primitives and, of what is stored, dates; of
 * anything else it is not known what belongs to it.
 */
import { isPlain } from '../plain-data';
import { Mirror } from './mirror';
import { Outline } from './outline';
import { ARRAY, OBJECT, type Shadow, TEXT, type Tree } from './shadow';
import { type Step, steps } from './steps';

const deepest = 16;
/** Among so many it is looked for an object that came before. */
const fewObjects = 64;

/** Of the fields of an instance, or of a plain object or list. Undefined: it cannot be mirrored. */
export function mirrorOf(live: object): Mirror | undefined {
  return new LiveTaker().take(live);
}

/** Of what is stored. `likely`: what its outline may be. */
export function mirrorOfTree(tree: Tree, likely: Outline | undefined): Mirror | undefined {
  return new TreeTaker().take(tree, likely);
}

function made(taken: readonly Step[], values: readonly unknown[], likely?: Outline): Mirror {
  return new Mirror(likely?.isOf(taken) === true ? likely : Outline.of(taken), values.slice());
}

/** Object by object, as they are met. */
class LiveTaker {
  private readonly steps: Step[] = [];
  private readonly values: unknown[] = [];
  private readonly objects: object[] = [];

  take(live: object): Mirror | undefined {
    return this.object(live, 0) ? made(this.steps, this.values) : undefined;
  }

  private object(live: object, depth: number): boolean {
    this.objects.push(live);
    if (Array.isArray(live)) {
      this.steps.push(steps.list, live.length);
      for (let i = 0; i < live.length; ++i) if (!this.value(live[i], depth)) return false;
      return true;
    }
    this.steps.push(steps.object);
    for (const name of Object.keys(live)) {
      this.steps.push(name);
      if (!this.value((live as Record<string, unknown>)[name], depth)) return false;
    }
    this.steps.push(steps.end);
    return true;
  }

  private value(value: unknown, depth: number): boolean {
    if (typeof value !== 'object' || value === null) {
      this.steps.push(typeof value === 'number' ? steps.number : steps.simple);
      this.values.push(value);
      return true;
    }
    const again = this.objects.length <= fewObjects ? this.objects.indexOf(value) : -1;
    if (again >= 0) {
      this.steps.push(steps.again, again);
      return true;
    }
    if (depth === deepest || !(Array.isArray(value) || isPlain(value))) return false;
    // What is an instance's own is made anew with it, and would only be kept from being collected.
    if (!Array.isArray(value)) this.values.push(undefined);
    return this.object(value, depth + 1);
  }
}

class TreeTaker {
  private readonly steps: Step[] = [];
  private readonly values: unknown[] = [];

  take(tree: Tree, likely: Outline | undefined): Mirror | undefined {
    return this.tree(tree) ? made(this.steps, this.values, likely) : undefined;
  }

  private tree({ shape, items }: Tree): boolean {
    const { length } = items;
    if (shape === OBJECT) {
      this.steps.push(steps.object);
      for (let i = 0; i < length; i += 2) {
        const name = items[i];
        if (typeof name !== 'string') return false;
        this.steps.push(name);
        if (!this.value(items[i + 1])) return false;
      }
      this.steps.push(steps.end);
      return true;
    }
    if (shape !== ARRAY) return false;
    this.steps.push(steps.list, length);
    // What looks undefined in a list may be a hole.
    for (let i = 0; i < length; ++i)
      if (items[i] === undefined || !this.value(items[i])) return false;
    return true;
  }

  private value(item: Shadow): boolean {
    if (typeof item !== 'object' || item === null) {
      this.steps.push(typeof item === 'number' ? steps.number : steps.simple);
      this.values.push(item);
      return true;
    }
    switch (item.kind) {
      case 'tree':
        if (item.shape === OBJECT) this.values.push(item.seen);
        return this.tree(item);
      case 'blob':
        if (item.type !== TEXT) return false;
        this.steps.push(steps.simple);
        this.values.push(item.text);
        return true;
      case 'moment':
        this.steps.push(steps.moment);
        this.values.push(item.ms);
        return true;
      default:
        return false;
    }
  }
}
