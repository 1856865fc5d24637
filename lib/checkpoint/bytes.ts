/**
 * Typed arrays and buffers, and the numbers they are stored under. A Buffer comes back as a
 * Uint8Array, as from structuredClone.
 */
import { types } from 'node:util';

import { STRUCTURED, TEXT } from './shadow';

type Maker = (buffer: ArrayBuffer) => object;

const makers: readonly (readonly [number, string, Maker])[] = [
  [2, 'ArrayBuffer', (buffer) => buffer],
  [3, 'DataView', (buffer) => new DataView(buffer)],
  [4, 'Int8Array', (buffer) => new Int8Array(buffer)],
  [5, 'Uint8Array', (buffer) => new Uint8Array(buffer)],
  [6, 'Uint8ClampedArray', (buffer) => new Uint8ClampedArray(buffer)],
  [7, 'Int16Array', (buffer) => new Int16Array(buffer)],
  [8, 'Uint16Array', (buffer) => new Uint16Array(buffer)],
  [9, 'Int32Array', (buffer) => new Int32Array(buffer)],
  [10, 'Uint32Array', (buffer) => new Uint32Array(buffer)],
  [11, 'Float32Array', (buffer) => new Float32Array(buffer)],
  [12, 'Float64Array', (buffer) => new Float64Array(buffer)],
  [13, 'BigInt64Array', (buffer) => new BigInt64Array(buffer)],
  [14, 'BigUint64Array', (buffer) => new BigUint64Array(buffer)],
];
const numberOf = new Map(makers.map(([number, name]) => [name, number]));
const makerOf = new Map(makers.map(([number, , make]) => [number, make]));

/** 0 for what is no bytes. */
export function bytesType(live: object): number {
  if (ArrayBuffer.isView(live)) {
    return (
      numberOf.get((live as unknown as { [Symbol.toStringTag]: string })[Symbol.toStringTag]) ?? 0
    );
  }
  return types.isArrayBuffer(live) ? 2 : 0;
}

/** A view on the bytes, not a copy. */
export function bytesOf(live: object): Uint8Array {
  if (ArrayBuffer.isView(live))
    return new Uint8Array(live.buffer, live.byteOffset, live.byteLength);
  return new Uint8Array(live as ArrayBuffer);
}

export function remake(type: number, bytes: Uint8Array): object {
  const own = new Uint8Array(bytes.length);
  own.set(bytes);
  const make = makerOf.get(type);
  if (make === undefined || type === TEXT || type === STRUCTURED)
    throw new RangeError(`there is no type of bytes ${type}`);
  return make(own.buffer);
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
