/**
 * Code that compares an object with what it was, made of its outline: each field by its name, each
 * where it lies, so that the engine knows every access beforehand. Nothing but the names of fields
 * gets into the code, as texts of JSON.
 */
import { fewElements } from '../plain-data';
import { isMoment, type Step, steps } from './steps';

/** See `Outline.compare`. */
export type Comparison = (
  live: object,
  values: readonly unknown[],
  lenient: boolean,
  from?: number,
) => boolean;

type Tools = readonly [
  names: readonly (readonly unknown[])[],
  plain: object,
  prototypeOf: (of: object) => unknown,
  isList: (value: unknown) => boolean,
  keysOf: (of: object) => unknown[],
  valuesOf: (of: object) => unknown[],
  is: (a: unknown, b: unknown) => boolean,
  isMoment: (now: unknown, ms: number) => boolean,
];

/** Throws an EvalError where code must not be generated. */
export function generate(outline: readonly Step[]): Comparison {
  const writer = new Writer(outline);
  const body = writer.object('live');
  const head = writer.names.map((_, i) => `const names${i} = names[${i}];`).join('');
  const code = `'use strict';${head}return (live, was, lenient, from = 0) => {${body}return true;}`;
  const make = new Function(
    'names',
    'plain',
    'prototypeOf',
    'isList',
    'keysOf',
    'valuesOf',
    'is',
    'isMoment',
    code,
  ) as (...tools: Tools) => Comparison;
  return make(
    writer.names,
    Object.prototype,
    Object.getPrototypeOf as (of: object) => unknown,
    Array.isArray,
    Object.keys,
    Object.values,
    Object.is,
    isMoment,
  );
}

/**
 * Each part of the code returns false where something is not what it was, and else goes on with the
 * next part.
 */
class Writer {
  /** Of the objects' fields; behind the last there is what is no name. */
  readonly names: unknown[][] = [];
  private at = 0;
  private taken = 0;
  private readonly objects: string[] = [];

  constructor(private readonly outline: readonly Step[]) {}

  /** `id`: the variable that holds it. */
  object(id: string): string {
    this.objects.push(id);
    return this.outline[this.at++] === steps.object ? this.record(id, '') : this.list(id);
  }

  private record(id: string, isOther: string): string {
    const names: unknown[] = [];
    let fields = '';
    for (; this.outline[this.at] !== steps.end;) {
      const name = this.outline[this.at++];
      names.push(name);
      fields += this.value(`${id}[${JSON.stringify(name)}]`);
    }
    ++this.at;
    const { length } = names;
    // Of what a field was read, the engine knows the prototype; also of one that there is not.
    const read = isOther === '' ? '' : `${id}[${JSON.stringify(names[0] ?? '')}];`;
    if (length === 0) return `for (const name in ${id}) return false;${read}${isOther}`;
    const all = `names${this.names.push([...names, null]) - 1}`;
    const i = `i${this.names.length}`;
    const keys = `let ${i} = 0;for (const name in ${id}) {if (name !== ${all}[${i}]) return false;++${i};}if (${i} !== ${length}) return false;`;
    return keys + read + isOther + fields;
  }

  private list(id: string): string {
    const length = this.outline[this.at++] as number;
    const own = `${length <= fewElements ? 'keysOf' : 'valuesOf'}(${id})`; // as `countOwn`
    let code = `if (!isList(${id}) || ${id}.length !== ${length} || (!lenient && ${own}.length !== ${length})) return false;`;
    for (let i = 0; i < length; ++i) code += this.value(`${id}[${i}]`);
    return code;
  }

  private value(read: string): string {
    const step = this.outline[this.at]!;
    if (step === steps.object || step === steps.list) return this.inner(step, read);
    ++this.at;
    if (step === steps.again)
      return `if (${read} !== ${this.objects[this.outline[this.at++] as number]}) return false;`;
    const was = `was[from + ${this.taken++}]`;
    if (step === steps.moment) return `if (!isMoment(${read}, ${was})) return false;`;
    if (step === steps.simple) return `if (${read} !== ${was}) return false;`;
    // NaN is what it was, and 0 is not -0.
    const [a, b] = [`a${this.taken}`, `b${this.taken}`];
    return `const ${a} = ${read}, ${b} = ${was};if (${a} !== ${b} ? ${a} === ${a} || ${b} === ${b} : ${a} === 0 && !is(${a}, ${b})) return false;`;
  }

  private inner(step: Step, read: string): string {
    const id = `o${this.objects.push('') - 1}`;
    this.objects[this.objects.length - 1] = id;
    const begin = `const ${id} = ${read};if (typeof ${id} !== 'object' || ${id} === null) return false;`;
    ++this.at;
    if (step === steps.list) return begin + this.list(id);
    const other = `if (${id} !== was[from + ${this.taken++}]) {const p = prototypeOf(${id});if (p !== plain && p !== null) return false;}`;
    return begin + this.record(id, other);
  }
}
