/**
 * Making plain objects that are alike: those with the same names in the same order are made by code
 * generated for them, in which the engine knows each field beforehand. Giving an object its fields
 * one by one, by names that have to be looked up, takes twice as long and more.
 *
 * Where code must not be generated (`--disallow-code-generation-from-strings`), or there are too
 * many kinds, there is none. Nothing but names gets into the code, as texts of JSON.
 */
import { OBJECT, type Shadow, type Tree } from './shadow';

/** What an object is to be instead, for one that is not to be made as it is stored. */
export type Making = (stored: Tree) => object | undefined;

type Value = (item: Shadow, path: unknown[], making: Making | undefined) => unknown;

/**
 * Makes an object of `items`, names and values in turns. It is in `path` while those of its values
 * that are no primitives are made by `value`.
 */
export type Make = (
  items: readonly Shadow[],
  path: unknown[],
  making: Making | undefined,
  value: Value,
) => object;

interface Kind {
  readonly names: readonly Shadow[];
  uses: number;
  make: Make | undefined;
}

/** Objects until code is generated for their kind. */
const usesBeforeCode = 64;
/** Of fewer fields it is not worth it, of more the code would be long. */
const [leastFields, mostFields] = [3, 64];
const mostKinds = 256;
/**
 * Among so many that have the first name and the number of fields in common it is looked for a
 * kind.
 */
const mostAlike = 8;

const kinds = new Map<Shadow, Kind[]>();
let known = 0;
let isRefused = false;

/** For what such a tree is stored of; undefined: it is to be made field by field. */
export function makeOf(tree: Tree): Make | undefined {
  if (isRefused || tree.shape !== OBJECT || tree.leaves.length > mostFields) return undefined;
  const { items } = tree;
  if (items.length < 2 * leastFields || items.length > 2 * mostFields) return undefined;
  const kind = kindOf(items);
  if (kind === undefined) return undefined;
  if (kind.make === undefined && ++kind.uses === usesBeforeCode) kind.make = generate(kind.names);
  return kind.make;
}

function kindOf(items: readonly Shadow[]): Kind | undefined {
  let alike = kinds.get(items[0]);
  if (alike !== undefined)
    for (let i = 0; i < alike.length; ++i) if (hasNames(items, alike[i]!.names)) return alike[i];
  if (
    known === mostKinds ||
    alike?.length === mostAlike ||
    !items.every((name, at) => at % 2 === 1 || isName(name))
  )
    return undefined;
  if (alike === undefined) kinds.set(items[0], (alike = []));
  const kind: Kind = { names: items.filter((_, at) => at % 2 === 0), uses: 0, make: undefined };
  alike.push(kind);
  ++known;
  return kind;
}

function hasNames(items: readonly Shadow[], names: readonly Shadow[]): boolean {
  if (items.length !== 2 * names.length) return false;
  for (let i = 0; i < names.length; ++i) if (items[2 * i] !== names[i]) return false;
  return true;
}

/** A long name is no text here, and one is no field where it stands in code. */
function isName(name: Shadow): boolean {
  return typeof name === 'string' && name !== '__proto__';
}

function generate(names: readonly Shadow[]): Make | undefined {
  const texts = names.map((name) => JSON.stringify(name));
  const empty = texts.map((text) => `${text}: undefined`).join();
  const field = (text: string, i: number): string =>
    `item = items[${2 * i + 1}]; made[${text}] = typeof item === 'object' && item !== null ? value(item, path, making) : item;`;
  const code = `'use strict'; let item; const made = {${empty}}; path.push(made); ${texts.map(field).join(' ')} path.pop(); return made;`;
  try {
    return new Function('items', 'path', 'making', 'value', code) as Make;
  } catch (error) {
    if (!(error instanceof EvalError)) throw error;
    isRefused = true;
    return undefined;
  }
}
