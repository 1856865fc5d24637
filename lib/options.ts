/**
 * Every option is looked at here, once, before anything happens. A wrong one is a TypeError or a
 * RangeError.
 */
import { inspect, types } from 'node:util';

import { type ArgumentError, rangeError, typeError } from './errors';
import type { NativeOpenOptions } from './native-binding';
import { isPlain } from './plain-data';
import type { CommitOptions, OpenOptions } from './types';

const mediums = { auto: 0, pmem: 1, file: 2 } as const;
const creates = { ifMissing: 0, never: 1, exclusive: 2 } as const;
const classes = { process: 1, power: 2 } as const;

const openNames = [
  ...(['medium', 'size', 'grow', 'directories', 'create', 'atLeast', 'readOnly'] as const),
  ...(['eventualWithin', 'foldOperations', 'retain', 'lease', 'signal'] as const),
];
const commitNames = ['durability', 'signal'] as const;

/**
 * For a message. Whatever it is: of objects none of the user's code runs, and only their first few
 * entries are told.
 */
export function shown(value: unknown): string {
  if (typeof value === 'string') return `"${value}"`;
  if ((typeof value !== 'object' || value === null) && typeof value !== 'function')
    return String(value);
  return inspect(value, {
    depth: 0,
    maxArrayLength: 3,
    maxStringLength: 100,
    breakLength: Infinity,
    customInspect: false,
  });
}

function oneOf<T extends object>(
  choices: T,
  name: string,
  given: unknown,
  otherwise: keyof T,
): T[keyof T] {
  if (given === undefined) return choices[otherwise];
  if (typeof given !== 'string' || !Object.hasOwn(choices, given)) {
    throw typeError(
      `${name} must be one of ${Object.keys(choices).join(', ')}, not ${shown(given)}`,
    );
  }
  return choices[given as keyof T];
}

export function wholeNumber(name: string, given: unknown, low: number, high: number): number {
  if (typeof given !== 'number') throw typeError(`${name} must be a number, not ${shown(given)}`);
  if (!Number.isInteger(given) || given < low || given > high) {
    throw rangeError(`${name} must be a whole number from ${low} to ${high}, not ${given}`);
  }
  return given;
}

/**
 * An options argument: nothing, or an object. A plain one has none but these `names`: a misspelt
 * one would be taken for one that was left out. An instance of a class may have more, since they
 * are its own affair.
 */
export function optionsObject<T extends object>(
  given: T | undefined,
  what: string,
  names: readonly (keyof T & string)[],
): Partial<T> {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null) {
    throw typeError(`The options of ${what} must be an object, not ${shown(given)}`);
  }
  for (const name in given) {
    if (!names.includes(name) && given[name] !== undefined && isPlain(given))
      throw unknownError(what, name, names);
  }
  return given;
}

function unknownError(what: string, name: string, names: readonly string[]): ArgumentError {
  return typeError(
    `There is no option ${JSON.stringify(name)} of ${what}; there ${names.length === 1 ? 'is' : 'are'} ${names.join(', ')}`,
  );
}

export function signalOption(given: unknown, name = 'signal'): AbortSignal | undefined {
  if (given === undefined) return undefined;
  if (!(given instanceof AbortSignal)) throw typeError(`${name} must be an AbortSignal`);
  return given;
}

export function checkPath(path: unknown): string {
  if (typeof path !== 'string')
    throw typeError(`The path of a pool must be a string, not ${shown(path)}`);
  if (path === '') throw typeError('The path of a pool must not be empty');
  if (path.includes('\0')) throw typeError('The path of a pool must not contain a null character');
  if (Buffer.from(path).toString() !== path)
    throw typeError('The path of a pool must not have a lone surrogate');
  return path;
}

export function openOptions(given: OpenOptions | undefined): NativeOpenOptions {
  const options = optionsObject(given, 'open', openNames);
  signalOption(options.signal);
  const native: NativeOpenOptions = {
    medium: oneOf(mediums, 'medium', options.medium, 'auto'),
    create: oneOf(creates, 'create', options.create, 'ifMissing'),
    size: options.size === undefined ? 0 : wholeNumber('size', options.size, 1, 2 ** 46),
    grow: booleanOption('grow', options.grow),
    atLeast: oneOf(classes, 'atLeast', options.atLeast, 'process'),
    readOnly: booleanOption('readOnly', options.readOnly),
  };
  if (options.directories !== undefined) {
    native.directories = directoriesOption(options.directories);
    if (native.directories.length === 0)
      throw typeError('directories must name at least one directory');
    if (native.medium === mediums.file)
      throw typeError("directories are for pools on the medium 'pmem': a file is one file");
    if (!native.grow)
      throw typeError(
        'directories need grow: true, a pool over several directories takes its space as it needs it',
      );
  }
  if (options.foldOperations !== undefined) {
    native.foldOperations = wholeNumber('foldOperations', options.foldOperations, 1, 2 ** 31);
  }
  if (options.eventualWithin !== undefined) {
    native.eventualWithin = wholeNumber('eventualWithin', options.eventualWithin, 1, 60_000);
  }
  if (options.retain !== undefined) Object.assign(native, retainOption(options.retain));
  if (options.lease !== undefined) wholeNumber('lease', options.lease, 1, 2 ** 31 - 1);
  return native;
}

export function directoriesOption(given: unknown): string[] {
  if (!Array.isArray(given))
    throw typeError(`directories must be a list of paths, not ${shown(given)}`);
  return given.map((directory: unknown) => {
    if (typeof directory !== 'string' || directory === '' || directory.includes('\0')) {
      throw typeError(`each of directories must be a path, not ${shown(directory)}`);
    }
    return directory;
  });
}

/** Bytes; 0: grows by itself. */
export function sizeOption(bytes: unknown): number {
  return wholeNumber('size', bytes, 0, 2 ** 46);
}

function retainOption(given: unknown): { retainMs: number; retainBytes: number } {
  if (given === false) return { retainMs: 0, retainBytes: 0 };
  if (typeof given !== 'object' || given === null) {
    throw typeError(`retain must be false or { ms, bytes }, not ${shown(given)}`);
  }
  const { ms, bytes } = optionsObject<{ ms?: unknown; bytes?: unknown }>(given, 'retain', [
    'ms',
    'bytes',
  ]);
  if (ms === undefined && bytes === undefined) throw typeError('retain needs ms or bytes');
  return {
    retainMs: ms === undefined ? 0 : wholeNumber('retain.ms', ms, 1, 2 ** 46),
    retainBytes: bytes === undefined ? 0 : wholeNumber('retain.bytes', bytes, 1, 2 ** 46),
  };
}

/** Is it an eventual commit? */
export function eventualOption(options: CommitOptions | undefined): boolean {
  if (options === undefined) return false;
  const { durability } = optionsObject(options, 'a commit', commitNames);
  if (durability === undefined || durability === 'durable') return false;
  if (durability === 'eventual') return true;
  throw typeError(`durability must be "durable" or "eventual", not ${shown(durability)}`);
}

/**
 * The moment that `olderThan` means: a Date, or so many milliseconds ago. Nothing else is taken for
 * one: what is older is removed.
 */
export function olderThanOption(given: unknown): number {
  const before = types.isDate(given)
    ? given.getTime()
    : typeof given === 'number'
      ? Date.now() - given
      : NaN;
  if (Number.isNaN(before))
    throw typeError(`olderThan is a Date, or a number of milliseconds, not ${shown(given)}`);
  return before;
}

/** Of a Date, in milliseconds. */
const LAST_MOMENT = 8.64e15;

/** The moment to come that is meant: a Date, or so many milliseconds from now. */
export function momentOption(what: string, given: unknown): number {
  const moment = types.isDate(given)
    ? given.getTime()
    : typeof given === 'number'
      ? Date.now() + given
      : NaN;
  if (!Number.isFinite(moment))
    throw typeError(`${what} is a Date, or a number of milliseconds, not ${shown(given)}`);
  if (Math.abs(moment) > LAST_MOMENT)
    throw rangeError(`${what} is a moment that a Date can name, not ${shown(given)}`);
  return moment;
}

export function limitOption(limit: unknown): number {
  if (limit === undefined || limit === Infinity) return Infinity;
  return wholeNumber('limit', limit, 0, Number.MAX_SAFE_INTEGER);
}

export function booleanOption(name: string, given: unknown): boolean {
  if (given === undefined) return false;
  if (typeof given !== 'boolean')
    throw typeError(`${name} must be true or false, not ${shown(given)}`);
  return given;
}

/**
 * Refuses a view whose memory was transferred elsewhere, or does not reach as far as the view any
 * more: it has no bytes, which nobody may take for none.
 */
export function mustHaveBytes(view: ArrayBufferView): void {
  try {
    // Of a DataView this throws. A typed array has a length of 0 then, and most methods throw.
    if (view.byteLength === 0 && !types.isDataView(view))
      Uint8Array.prototype.indexOf.call(view as Uint8Array, 0);
  } catch {
    throw typeError('The bytes were transferred elsewhere, or their buffer has become too short');
  }
}

export function keyspaceName(name: unknown): string {
  return nameOf('a keyspace', name);
}

export function regionName(name: unknown): string {
  return nameOf('a region', name);
}

function nameOf(what: string, name: unknown): string {
  if (typeof name !== 'string')
    throw typeError(`The name of ${what} must be a string, not ${shown(name)}`);
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > 255) {
    throw rangeError(`The name of ${what} must have 1 to 255 bytes, not ${bytes}`);
  }
  if (Buffer.from(name).toString() !== name) {
    throw typeError(`The name of ${what} must not have a lone surrogate`);
  }
  return name;
}
