// What run.mjs (the engine) and durable-runs.mjs (lib/run/) share: where a mutant's place is, and which mutants are asked for.
//
// A place is text that occurs once in its file, in which «…» marks what is replaced.

/** Offsets in `text` of what is marked. */
export function placeOf(what, file, text, where) {
  const plain = where.replace(/[«»]/g, '');
  const at = text.indexOf(plain);
  if (at < 0 || text.indexOf(plain, at + 1) >= 0) throw new Error(`mutant "${what}": its place is ${at < 0 ? 'not' : 'more than once'} in ${file}`);
  return { begin: at + where.indexOf('«'), end: at + where.indexOf('»') - 1 };
}

/** "3,5-7" */
export function numbersIn(list) {
  return list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}
