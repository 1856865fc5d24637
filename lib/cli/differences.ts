/**
 * Differences of two checkpoints for people: one line each where there is room, else what was and
 * what is below each other. Of a long text, of bytes and of a Set only what differs is shown, and
 * where.
 */
import { isDeepStrictEqual, types } from 'node:util';

import pc from 'picocolors';

import type { Difference } from '../index';
import { brief, widthOf, wrapped } from './output';

/** Values that are as short as this are shown whole. */
const SHORT = 60;
/** Characters or bytes on both sides of what differs. */
const AROUND = 20;
const INDENT = '    ';

interface Shown {
  readonly before: string;
  readonly after: string;
  /** Which part of the value they are. */
  readonly part?: string;
}

/** `columns`: of the terminal; Infinity where there is none. */
export function linesOf(one: Difference, columns: number): string[] {
  const { kind, before, after } = one;
  const place = placeText(one.path);
  if (kind === 'added') return fitted('+', pc.green, place, [['', brief(after)]], columns);
  if (kind === 'removed') return fitted('-', pc.red, place, [['', brief(before)]], columns);
  const shown = onlyDifferent(before, after);
  const where = shown.part === undefined ? place : `${place} (${shown.part})`;
  const values = [
    ['- ', shown.before],
    ['+ ', shown.after],
  ] as const;
  return fitted('~', pc.yellow, where, values, columns);
}

function fitted(
  sign: string,
  colour: (text: string) => string,
  place: string,
  values: readonly (readonly [mark: string, text: string])[],
  columns: number,
): string[] {
  const line = `${colour(sign)} ${place}: ${values.map(([, text]) => text).join(' → ')}`;
  if (widthOf(line) <= columns) return [line];
  const lines = wrapped(`${place}:`, columns - 2).map(
    (part, at) => `${at === 0 ? colour(sign) : ' '} ${part}`,
  );
  for (const [mark, text] of values) {
    const before = `${INDENT}${mark}`;
    const parts = wrapped(text, columns - before.length);
    lines.push(...parts.map((part, at) => (at === 0 ? before : ' '.repeat(before.length)) + part));
  }
  return lines;
}

function placeText(path: Difference['path']): string {
  const where = path.map((part) => {
    if (typeof part === 'string' && /^[\w$-]+$/.test(part)) return `.${part}`;
    return `[${brief(part, 40)}]`;
  });
  return where.join('') || '(all)';
}

function onlyDifferent(before: unknown, after: unknown): Shown {
  const whole = { before: brief(before), after: brief(after) };
  if (whole.before.length <= SHORT && whole.after.length <= SHORT) return whole;
  if (typeof before === 'string' && typeof after === 'string')
    return excerpts(before, after, 'character', (text) => JSON.stringify(text), isWithinPair);
  if (types.isUint8Array(before) && types.isUint8Array(after))
    return excerpts(before, after, 'byte', (bytes) => Buffer.from(bytes).toString('hex'));
  if (before instanceof Set && after instanceof Set) {
    const part = `of a Set of ${before.size}, now ${after.size}`;
    return { before: missing(before, after), after: missing(after, before), part };
  }
  return whole;
}

interface Sequence<T> {
  readonly length: number;
  readonly [at: number]: unknown;
  slice(from: number, to: number): T;
}

/** `noCut`: may it not be cut there? */
function excerpts<T extends Sequence<T>>(
  before: T,
  after: T,
  unit: string,
  text: (part: T) => string,
  noCut: (of: T, at: number) => boolean = () => false,
): Shown {
  const least = Math.min(before.length, after.length);
  let same = 0;
  while (same < least && before[same] === after[same]) same += 1;
  let behind = 0;
  while (
    behind < least - same &&
    before[before.length - 1 - behind] === after[after.length - 1 - behind]
  )
    behind += 1;
  const most = 3 * SHORT;
  const excerpt = (of: T): string => {
    let from = Math.max(0, same - AROUND);
    if (noCut(of, from)) from -= 1;
    let to = Math.min(of.length, of.length - behind + AROUND, from + most);
    if (noCut(of, to)) to += 1;
    return `${from > 0 ? '…' : ''}${text(of.slice(from, to))}${to < of.length ? '…' : ''}`;
  };
  const part = `from ${unit} ${same} of ${before.length}, now ${after.length}`;
  return { before: excerpt(before), after: excerpt(after), part };
}

/** Between the two halves of a surrogate pair. */
function isWithinPair(text: string, at: number): boolean {
  return /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(Math.max(0, at - 1), at + 1));
}

/** What the one has and the other has not. */
function missing(from: ReadonlySet<unknown>, other: ReadonlySet<unknown>): string {
  const objects = [...other].filter((item) => typeof item === 'object');
  const only = [...from].filter(
    (item) =>
      !other.has(item) &&
      !(typeof item === 'object' && objects.some((one) => isDeepStrictEqual(one, item))),
  );
  return only.length === 0 ? 'nothing else' : only.map((item) => brief(item, SHORT)).join(', ');
}
