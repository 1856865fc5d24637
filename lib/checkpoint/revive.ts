/** Makes a value of a shadow: always a fresh one, which the caller may change as it likes. */
import { structured } from '../codecs';
import { makeOf, type Making } from './alike';
import { remake } from './bytes';
import { ARRAY, MAP, OBJECT, type Shadow, STRUCTURED, TEXT, type Tree } from './shadow';
import { damaged } from './wire';

export function revive(shadow: Shadow, making?: Making): unknown {
  return reviveIn(shadow, [], making);
}

function reviveIn(shadow: Shadow, path: unknown[], making: Making | undefined): unknown {
  if (typeof shadow !== 'object' || shadow === null) return shadow;
  switch (shadow.kind) {
    case 'moment':
      return new Date(shadow.ms);
    case 'back':
      if (shadow.up > path.length) throw damaged('a cycle leads out of it');
      return path[path.length - shadow.up];
    case 'opaque':
      return shadow.type === STRUCTURED
        ? structured.decode(shadow.bytes)
        : remake(shadow.type, shadow.bytes);
    case 'blob':
      if (shadow.type === TEXT) return shadow.text;
      if (shadow.type === STRUCTURED) return structured.decode(shadow.bytes);
      return remake(shadow.type, shadow.bytes);
    case 'tree':
      return (
        (shadow.shape === OBJECT ? making?.(shadow) : undefined) ?? reviveTree(shadow, path, making)
      );
  }
}

function reviveTree(tree: Tree, path: unknown[], making: Making | undefined): unknown {
  const make = makeOf(tree);
  if (make !== undefined) return make(tree.items, path, making, reviveIn);
  const { shape, leaves } = tree;
  const value =
    shape === ARRAY ? [] : shape === OBJECT ? {} : shape === MAP ? new Map() : new Set();
  path.push(value);
  for (let l = 0; l < leaves.length; ++l) {
    const { items } = leaves[l]!;
    if (shape === OBJECT) reviveFields(value as Record<string, unknown>, items, path, making);
    else if (shape === ARRAY)
      for (let at = 0; at < items.length; ++at)
        (value as unknown[]).push(reviveItem(items[at], path, making));
    else if (value instanceof Set)
      for (const item of items) value.add(reviveItem(item, path, making));
    else {
      for (let at = 0; at < items.length; at += 2) {
        (value as Map<unknown, unknown>).set(
          reviveItem(items[at], path, making),
          reviveItem(items[at + 1], path, making),
        );
      }
    }
  }
  path.pop();
  return value;
}

/** Most are what they are. */
function reviveItem(item: Shadow, path: unknown[], making: Making | undefined): unknown {
  return typeof item === 'object' && item !== null ? reviveIn(item, path, making) : item;
}

function reviveFields(
  into: Record<string, unknown>,
  items: readonly Shadow[],
  path: unknown[],
  making: Making | undefined,
): void {
  for (let at = 0; at < items.length; at += 2) {
    const value = reviveItem(items[at + 1], path, making);
    const key = keyText(items[at]);
    if (key !== '__proto__') into[key] = value;
    else
      Object.defineProperty(into, key, {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
}

/** A long key is a blob. */
function keyText(key: Shadow): string {
  return typeof key === 'string' ? key : String(reviveIn(key, [], undefined));
}
