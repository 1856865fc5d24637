/**
 * What a live object is to a checkpoint: a container that is walked into, or something that is kept
 * whole.
 */
import { types } from 'node:util';

import { structured } from '../codecs';
import { HoldfastError } from '../errors';
import { isPlain } from '../plain-data';
import { bytesOf, bytesType } from './bytes';
import { blobOf } from './pieces';
import {
  ARRAY,
  Blob,
  blobLength,
  MAP,
  Moment,
  OBJECT,
  Opaque,
  SET,
  type Shadow,
  STRUCTURED,
} from './shadow';

export const OTHER = -1;

export function isInstance(live: object, shape: number): boolean {
  return shape === OBJECT && !isPlain(live);
}

const recordClasses = new WeakMap<object, boolean>();

/**
 * Are instances with this prototype made by classes of the user's alone? Then there is nothing to
 * them but their fields.
 */
function isRecordClass(prototype: object): boolean {
  let known = recordClasses.get(prototype);
  if (known === undefined) {
    known = true;
    for (
      let at = prototype, above: object | null;
      known && (above = Object.getPrototypeOf(at) as object | null) !== null;
      at = above
    ) {
      known =
        !(Symbol.toStringTag in at) &&
        !(Object.hasOwn(at, 'constructor') && isNative(at.constructor));
    }
    recordClasses.set(prototype, known);
  }
  return known;
}

/** Of this realm or another one: each `vm` context has a Date of its own. */
function isNative(maker: unknown): boolean {
  return (
    typeof maker === 'function' &&
    Function.prototype.toString.call(maker).endsWith('{ [native code] }')
  );
}

/** What kind of container it is; OTHER for what is not walked into. */
export function shapeOf(live: object): number {
  if (Array.isArray(live)) return ARRAY;
  if (isPlain(live)) return OBJECT;
  if (isRecordClass(Object.getPrototypeOf(live) as object)) return OBJECT;
  if (types.isMap(live)) return MAP;
  if (types.isSet(live)) return SET;
  if (ArrayBuffer.isView(live) || types.isAnyArrayBuffer(live) || types.isDate(live)) return OTHER;
  if (types.isRegExp(live) || types.isNativeError(live) || types.isBoxedPrimitive(live))
    return OTHER;
  if (types.isPromise(live) || types.isWeakMap(live) || types.isWeakSet(live)) return OTHER;
  return OBJECT;
}

/** The items of a container, as a tree has them. */
export function flatten(live: object, shape: number): unknown[] {
  if (shape === ARRAY) return Array.from(live as unknown[]);
  if (shape === SET) return [...(live as Set<unknown>)];
  const items: unknown[] = [];
  if (shape === MAP)
    for (const [key, value] of live as Map<unknown, unknown>) items.push(key, value);
  else for (const key of Object.keys(live)) items.push(key, (live as Record<string, unknown>)[key]);
  return items;
}

export function buildOther(live: object): Shadow {
  if (types.isDate(live)) return new Moment(live.getTime());
  const type = bytesType(live);
  if (type === 0) return new Opaque(STRUCTURED, encodeOther(live));
  const bytes = bytesOf(live);
  return bytes.length < blobLength
    ? new Opaque(type, bytes.slice())
    : blobOf(type, bytes, undefined);
}

export function encodeOther(live: object): Uint8Array {
  if (types.isPromise(live) || types.isWeakMap(live) || types.isWeakSet(live)) {
    throw new HoldfastError(
      'ERR_HOLDFAST_CODEC',
      `The value cannot be stored: there is a ${live.constructor.name} in it`,
    );
  }
  return new Uint8Array(structured.encode(live) as Uint8Array);
}

/** The whole value as one blob, for what is too tangled to be cut along its objects. */
export function buildWhole(old: Shadow, live: unknown): Blob {
  const before =
    typeof old === 'object' && old?.kind === 'blob' && old.type === STRUCTURED ? old : undefined;
  return blobOf(STRUCTURED, new Uint8Array(structured.encode(live) as Uint8Array), before);
}
