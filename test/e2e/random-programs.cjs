/**
 * Random programs of agents: the same for the same seed and run. An operation is { kind, name, at
 * }, where `at` is its place in the program, different for each; what is called within it stands in
 * `inner`, what is called at once in `beside`. Forks have the program of the run they come from.
 */
function random(text) {
  let state = 2166136261;
  for (const character of text) state = Math.imul(state ^ character.codePointAt(0), 16777619);
  /** From 0 to below `limit`. */
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

const KINDS = [
  'step',
  'step',
  'decision',
  'tool',
  'tool',
  'tool',
  'signal',
  'sleep',
  'checkpoint',
  'stall',
  'nested',
  'outer',
  'beside',
  'child',
];

/** More of what runs can do: for who asks for it. */
const ALL_KINDS = [
  ...KINDS.filter((kind) => kind !== 'stall'),
  ...['eventual', 'once', 'version', 'checkpoint', 'restore', 'prune'],
  ...['park', 'race', 'fork', 'torn', 'torn', 'loose', 'hand', 'tool', 'rollback', 'rollback'],
];

function programOf(seed, run, kinds = KINDS) {
  const dice = random(`${seed} ${run.replaceAll(/~\d+/g, '')}`);
  const depthOfRun = run.split('/').length;
  let children = 0;
  const operation = (at, depth) => {
    const name = dice(2) === 0 ? 'a' : 'b';
    const kind = kinds[dice(kinds.length)];
    const inner = () => list(1 + dice(3), at, depth + 1);
    switch (kind) {
      case 'tool':
        return { kind, name, at, ...toolOf(), ...(kinds === ALL_KINDS && moreOf()) };
      case 'outer':
        // What is called within is kept when it is tried again.
        if (depth > 1) break;
        return {
          kind: 'tool',
          name,
          at,
          safety: 'effect',
          probe: true,
          throws: dice(3) === 0,
          breaks: dice(2) === 0,
          inner: inner(),
        };
      case 'torn':
        // What goes on within an attempt beside what failed.
        if (depth > 1) break;
        return {
          kind,
          name,
          at,
          safety: dice(2) === 0 ? 'effect' : 'idempotent',
          timeout: dice(2) === 0 ? 2 + dice(6) : undefined,
          inner: inner(),
        };
      case 'loose':
        // A step that fails is passed by, and what goes on within it goes on beside what follows.
        if (depth > 1) break;
        return { kind, name, at, inner: inner() };
      case 'version':
      case 'park':
      case 'fork':
      case 'rollback':
        if (depth > 0) break;
        return { kind, name, at, since: dice(3), caught: dice(2) === 0 };
      case 'nested':
        if (depth > 1) break;
        return { kind: 'step', name, at, inner: inner() };
      case 'beside':
        if (depth > 1) break;
        return { beside: inner() };
      case 'child':
      case 'hand':
        if (depthOfRun > 1 || children === 2) break;
        return { kind, name: `child ${++children}`, at };
      case 'sleep':
        return { kind, name, at, ms: dice(15) };
      default:
        return { kind, name, at };
    }
    return { kind: 'step', name, at };
  };
  const toolOf = () => {
    const safety = dice(3) === 0 ? 'idempotent' : 'effect';
    return {
      safety,
      probe: dice(2) === 0,
      refuses: dice(3) === 0 ? 1 + dice(2) : 0,
      throws: dice(3) === 0,
    };
  };
  const moreOf = () => ({
    ...(dice(5) === 0 && { safety: 'readOnly' }),
    ...(dice(4) === 0 && { timeout: 3 + dice(5) }),
    ...(dice(6) === 0 && { aborts: 1 + dice(20) }),
  });
  const list = (length, at, depth) =>
    Array.from({ length }, (_, n) => operation(`${at}.${n}`, depth));
  return { ops: list(5 + dice(6), '', 0), undone: dice(3) === 0 };
}

/** Of a program: all its operations, those within others too. */
function* operationsOf(ops) {
  for (const op of ops) {
    if (op.kind !== undefined) yield op;
    yield* operationsOf(op.inner ?? op.beside ?? []);
  }
}

module.exports = { ALL_KINDS, operationsOf, programOf, random };
