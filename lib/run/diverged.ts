/** Telling what a run recorded from what its code asks for now, and telling it to people. */
import { inspect, isDeepStrictEqual, types } from 'node:util';

import { structured } from '../codecs';
import { hasCode, HoldfastError } from '../errors';

const MAX_ERROR_CHARACTERS = 1000;
const MAX_GATHERED = 3;

/** Is `value` what `kept` was before it was encoded? */
export function isSame(kept: unknown, value: unknown): boolean {
  // Encoding drops what is not data (prototypes, for one), so what differs is compared once more
  // after the same loss.
  return isDeepStrictEqual(kept, value) || isDeepStrictEqual(kept, roundTrip(value));
}

function roundTrip(value: unknown): unknown {
  const bytes = structured.encode(value);
  return structured.decode(typeof bytes === 'string' ? Buffer.from(bytes) : bytes);
}

export function divergedError(
  run: string,
  what: string,
  recorded: string,
  asked: string,
): HoldfastError {
  return new HoldfastError(
    'ERR_HOLDFAST_DIVERGED',
    `run ${JSON.stringify(run)}, ${what}: recorded was ${recorded}, asked for is ${asked}. ` +
      'Continue it with the code and input that began it, or begin a run under another id; run.version lets code change under a run',
  );
}

/** Where the result of a call cannot be stored: the error that names the call. Others stay. */
export function resultError(error: unknown, kind: string, name: string): unknown {
  if (!hasCode(error, 'ERR_HOLDFAST_CODEC')) return error;
  const what = `the result of ${kind} ${JSON.stringify(name)}`;
  return new HoldfastError(error.code, `${what}: ${error.message}`, { cause: error.cause });
}

/**
 * What was thrown, as a text, with what led to it: of `fetch failed` that alone says why. Whatever
 * it is: some objects have no text, and some throw when they are asked for it.
 */
export function textOf(thrown: unknown): string {
  let text = ownText(thrown);
  const seen = new Set<unknown>([thrown]);
  for (let at = thrown; text.length < MAX_ERROR_CHARACTERS;) {
    const inner = innerOf(at);
    if (inner === undefined || inner.some((one) => seen.has(one))) break;
    text += ` (${inner.map(ownText).join('; ')})`;
    for (const one of inner) seen.add(one);
    [at] = inner;
  }
  return text.slice(0, MAX_ERROR_CHARACTERS);
}

/** An error's cause, or the first of those that it gathers. */
function innerOf(error: unknown): unknown[] | undefined {
  try {
    if (!types.isNativeError(error)) return undefined;
    const { errors, cause } = error as { errors?: unknown; cause?: unknown };
    if (Array.isArray(errors) && errors.length > 0) return errors.slice(0, MAX_GATHERED);
    return cause === undefined ? undefined : [cause];
  } catch {
    return undefined;
  }
}

function ownText(thrown: unknown): string {
  for (const text of [String, show]) {
    try {
      const said = text(thrown);
      if (said !== '[object Object]') return said;
    } catch {
      // The other way.
    }
  }
  return 'something that has no text';
}

export function show(value: unknown): string {
  return inspect(value, {
    depth: 4,
    maxArrayLength: 20,
    maxStringLength: 200,
    breakLength: Infinity,
    compact: true,
  });
}
