/**
 * Arguments as they were when a call was made: what is recorded is what the tool is called with,
 * whatever its caller or an earlier attempt does to them meanwhile.
 *
 * What is plain data is copied: objects without a class, lists, maps, sets, dates, bytes. An
 * instance of a class is handed over as it is, since nobody else knows how to make another one.
 */
import { types } from 'node:util';

import { isPlain } from '../plain-data';
import { readingArguments } from './hash';

export function ownCopy<T>(value: T): T {
  return typeof value === 'object' && value !== null
    ? readingArguments(() => copyOf(value, new Map()) as T)
    : value;
}

function copyOf(value: unknown, made: Map<object, object>): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const before = made.get(value);
  if (before !== undefined) return before;
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype === Array.prototype)
    return copyInto(value, new Array((value as unknown[]).length), made);
  if (prototype === Map.prototype && types.isMap(value)) {
    const copy = keep(value, new Map<unknown, unknown>(), made);
    for (const [key, item] of value) copy.set(copyOf(key, made), copyOf(item, made));
    return copy;
  }
  if (prototype === Set.prototype && types.isSet(value)) {
    const copy = keep(value, new Set<unknown>(), made);
    for (const item of value) copy.add(copyOf(item, made));
    return copy;
  }
  if (isPlain(value)) return copyInto(value, Object.create(prototype) as object, made);
  const bytes = copyOfBytes(value, prototype);
  return bytes === undefined ? value : keep(value, bytes, made);
}

function copyInto(from: object, copy: object, made: Map<object, object>): object {
  keep(from, copy, made);
  for (const [key, item] of Object.entries(from)) {
    const value = copyOf(item, made);
    // To the language this is no key like others.
    if (key === '__proto__')
      Object.defineProperty(copy, key, {
        value,
        enumerable: true,
        configurable: true,
        writable: true,
      });
    else (copy as Record<string, unknown>)[key] = value;
  }
  return copy;
}

/** Of a date, a buffer or a view of one; undefined for any other object. */
function copyOfBytes(value: object, prototype: object | null): object | undefined {
  if (prototype === Date.prototype && types.isDate(value)) return new Date(value);
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  if (types.isTypedArray(value)) return value.slice();
  if (types.isArrayBuffer(value)) return value.slice(0);
  if (value instanceof DataView)
    return new DataView(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
  return undefined;
}

function keep<C extends object>(of: object, copy: C, made: Map<object, object>): C {
  made.set(of, copy);
  return copy;
}
