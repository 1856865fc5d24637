/**
 * Values that are given on the command line and stay: JSON, or text. One that was meant as JSON and
 * is none is wrong usage: kept as text it would be what a run goes on with.
 */
import { InvalidArgumentError } from 'commander';

/** What a value begins with, or looks like, that is meant as JSON. */
const MEANT_AS_JSON =
  /^\s*(["[{]|(true|false|null)\s*$|[-+]?(\d+[.,_]?\d*|[.,]\d+)(e[-+]?\d+)?\s*$)/i;

type Parsed = { readonly json: unknown } | { readonly problem: string };

function parse(text: string): Parsed {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { problem: (error as Error).message };
  }
  if (typeof json === 'number' && Math.abs(json) > Number.MAX_SAFE_INTEGER)
    return { problem: `as a number it is ${json}` };
  return { json };
}

/** For an option whose value is always JSON. */
export function jsonValue(text: string): { json: unknown } {
  const parsed = parse(text);
  if ('json' in parsed) return parsed;
  throw new InvalidArgumentError(
    `expected JSON (${parsed.problem}). In a shell: '{"approved": true}', '"text"', 12.`,
  );
}

/** For an argument that is JSON or plain text; what is wrong with it is given to `refuse`. */
export function jsonOrText(text: string, refuse: (message: string) => never): unknown {
  const parsed = parse(text);
  if ('json' in parsed) return parsed.json;
  if (!MEANT_AS_JSON.test(text)) return text;
  return refuse(
    `the value looks like JSON and is none: ${parsed.problem}. Nothing was given to the run. ` +
      `JSON is written like this in a shell: '{"approved": true}', '[1, 2]', 12.5, true. If it is text: --text`,
  );
}
