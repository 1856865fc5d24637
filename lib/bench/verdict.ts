/** What the rows of a comparison of two places mean, in plain words. */
import { valueText, type Row } from './summary';

const TOPICS: readonly (readonly [workload: string, words: string])[] = [
  ['commit', 'a durable commit'],
  ['batch', 'a batch of 100 keys'],
  ['inFlight', 'many commits in flight'],
  ['getRandom', 'reading'],
  ['range', 'walking a range'],
  ['open', 'opening after a crash'],
  ['agent', "an agent's step"],
  ['state', 'saving a state'],
];

const ALIKE = 1.15;

/** `on` is the reference of the rows, `against` the other. */
export function verdict(rows: readonly Row[], on: string, against: string): string[] {
  const sentences: string[] = [];
  for (const [workload, words] of TOPICS) {
    const pairs = rows.filter(
      (row) => row.workload === workload && row.driver === against && !Number.isNaN(row.ratio),
    );
    if (pairs.length === 0) continue;
    const ratio = Math.exp(pairs.reduce((sum, row) => sum + Math.log(row.ratio), 0) / pairs.length);
    sentences.push(sentenceOf(words, ratio, on, against));
  }
  return [...sentences, classSentence(rows, on, against)];
}

function sentenceOf(words: string, ratio: number, on: string, against: string): string {
  if (ratio < ALIKE && ratio > 1 / ALIKE) return `For ${words} the two are alike.`;
  const [faster, slower, times] = ratio > 1 ? [on, against, ratio] : [against, on, 1 / ratio];
  const by = times >= 10 ? Math.round(times).toLocaleString('en') : times.toFixed(1);
  return `For ${words} ${faster} is ${by} times faster than ${slower}.`;
}

function classSentence(rows: readonly Row[], on: string, against: string): string {
  const classOf = (driver: string) =>
    rows.find((row) => row.driver === driver && row.class !== '')?.class;
  const [first, second] = [classOf(on), classOf(against)];
  // A floor takes part in some workloads only: where it did in none, nothing is known of it.
  if (first === undefined) return 'Nothing was measured.';
  if (second === undefined)
    return `What is acknowledged on ${on} survives ${first === 'power' ? 'power loss' : 'the death of the process only'}.`;
  if (first === second) {
    return first === 'power'
      ? 'What is acknowledged survives power loss on both.'
      : 'What is acknowledged survives the death of the process on both, and power loss on neither.';
  }
  const [strong, weak] = first === 'power' ? [on, against] : [against, on];
  return `They do not promise the same: ${strong} survives power loss, ${weak} only the death of the process.`;
}

/** One line on the busiest number there is: a single small commit. */
export function headline(rows: readonly Row[], on: string): string {
  const row = rows.find(({ workload, driver }) => workload === 'commit' && driver === on);
  return row === undefined || Number.isNaN(row.value)
    ? ''
    : `${on}: ${row.label} takes ${valueText(row.value, row.unit)}.`;
}
