/** Values of all that can be in a state, and edits of them in place. */
import fc from 'fast-check';

type Entries = Record<string, unknown>;

const alike = fc.constantFrom<unknown>(
  0,
  -0,
  NaN,
  1,
  1.5,
  '',
  '0',
  'a',
  'a'.repeat(1500),
  null,
  undefined,
  false,
  true,
  0n,
  1n,
);
const leaf = fc.oneof(alike, fc.string({ maxLength: 8 }), fc.date({ noInvalidDate: false }));
export const key = fc.constantFrom('a', 'b', 'c', '0', '1', '__proto__', 'length');
export const { part } = fc.letrec<{ part: unknown }>((tie) => ({
  part: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('part'), { maxLength: 4 }),
    fc.dictionary(key, tie('part'), { maxKeys: 5, noNullPrototype: true }),
    fc.array(fc.tuple(key, tie('part')), { maxLength: 3 }).map((entries) => new Map(entries)),
  ),
}));

/** All objects and lists in it. */
export function partsOf(value: unknown, found: object[] = []): object[] {
  if (typeof value !== 'object' || value === null) return found;
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) found.push(value);
  for (const inner of value instanceof Map ? value.values() : Object.values(value))
    partsOf(inner, found);
  return found;
}

const define = (into: object, name: string, value: unknown): unknown =>
  Object.defineProperty(into, name, {
    value,
    enumerable: true,
    configurable: true,
    writable: true,
  });

/** An equal value of other objects; structuredClone takes a key `__proto__` for the prototype. */
export function copyOf(value: unknown): unknown {
  if (value instanceof Map)
    return new Map([...value].map(([name, inner]) => [name, copyOf(inner)]));
  if (value instanceof Date) return new Date(value);
  if (typeof value !== 'object' || value === null) return value;
  const copy: object = Array.isArray(value) ? new Array(value.length) : {};
  for (const name of Object.keys(value)) define(copy, name, copyOf((value as Entries)[name]));
  return copy;
}

/** Changes one of them in place, or nothing. */
export function edit(
  state: object,
  where: number,
  how: number,
  name: string,
  value: unknown,
): void {
  const all = partsOf(state);
  const at = all[where % all.length]!;
  if (Array.isArray(at)) {
    const place = how % (at.length + 1);
    [
      () => at.push(value),
      () => at.pop(),
      () => (at[place] = value),
      () => delete at[place],
      () => define(at, 'beside', value),
      () => Reflect.deleteProperty(at, 'beside'),
      () => (at.length += 1),
      () => at.reverse(),
      () => (at[place] = copyOf(at[place])),
    ][how % 9]!();
    return;
  }
  const entries = at as Entries;
  const own = Object.keys(entries)[where % Math.max(1, Object.keys(entries).length)] ?? name;
  const before = Object.hasOwn(entries, own)
    ? Object.getOwnPropertyDescriptor(entries, own)!.value
    : undefined;
  [
    () => define(entries, name, value),
    () => Reflect.deleteProperty(entries, own),
    () => define(entries, own, value),
    () => Reflect.deleteProperty(entries, own) && define(entries, own, before),
    () => define(entries, own, copyOf(before)),
    () => define(entries, own, before === 0 ? -before : undefined),
  ][how % 6]!();
}

/** With the order of keys, which deep equality does not look at. */
export function keysOf(value: unknown): unknown {
  if (value instanceof Map) return [...value].map(([name, inner]) => [name, keysOf(inner)]);
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.keys(value).map((name) => [name, keysOf((value as Entries)[name])]);
}

/**
 * A list with holes, or with properties beside its elements, is kept as the bytes of its encoding,
 * which are not always the same.
 */
export function isOrdinary(value: object): boolean {
  return (
    !Array.isArray(value) ||
    (Object.keys(value).length === value.length &&
      Object.keys(value).every((name, at) => name === String(at)))
  );
}
