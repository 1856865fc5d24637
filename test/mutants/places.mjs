// What run.mjs (the engine) and durable-runs.mjs (lib/run/) share: where a mutant's place is, and
// which mutants are asked for.
//
// A place is text that occurs once in its file, in which «…» marks what is replaced. How it is laid
// out does not matter: neither white space nor what formatters add to a list that they break (a
// comma behind its last item) or to a long string (its quotes).

/** `text` without its layout, and for each character that is left where it stands in `text`. */
function withoutLayout(text) {
  const at = [];
  let bare = '';
  for (let i = 0; i < text.length; i += 1) {
    const rest = text.slice(i, i + 200);
    const seam = rest.match(/^"\s*\n\s*"/); // between the pieces of a long string
    if (seam) i += seam[0].length - 1;
    if (seam || /^(\s|,\s*([)\]}]|$))/.test(rest)) continue;
    bare += text[i];
    at.push(i);
  }
  return { bare, at };
}

const bareTexts = new Map(); // text of a file -> the same without layout

/** Offsets in `text` of what is marked. */
export function placeOf(what, file, text, where) {
  if (!bareTexts.has(text)) bareTexts.set(text, withoutLayout(text));
  const whole = bareTexts.get(text);
  const place = withoutLayout(where.replace(/[«»]/g, ''));
  const found = whole.bare.indexOf(place.bare);
  if (found < 0 || whole.bare.indexOf(place.bare, found + 1) >= 0) {
    throw new Error(
      `mutant "${what}": its place is ${found < 0 ? 'not' : 'more than once'} in ${file}`,
    );
  }
  const from = place.at.findIndex((i) => i >= where.indexOf('«'));
  const last = place.at.findLastIndex((i) => i < where.indexOf('»') - 1);
  return { begin: whole.at[found + from], end: whole.at[found + last] + 1 };
}

/** "3,5-7" */
export function numbersIn(list) {
  return list.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}
