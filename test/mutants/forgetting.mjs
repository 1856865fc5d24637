// Of lib/run/, as in durable-runs.mjs: what is wrong when runs are forgotten.
export default [
  [
    'a run is deleted under its driver',
    'forget.ts',
    'if («readable(() => isDriven(journals, id))») continue;',
    'false',
  ],
  [
    'a run that ended later is forgotten',
    'belonging.ts',
    'if (end === undefined || «end >= this.before» ||',
    'false',
  ],
  [
    'a run with an unknown outcome is forgotten',
    'belonging.ts',
    "if («effects.some((key) => this.#isUnknown(key))») return 'unknownOutcomes';",
    'false',
  ],
  [
    'an effect that cannot be read keeps no run',
    'belonging.ts',
    "return «readable(() => intents.get(key))?.state !== 'never'»;",
    'false',
  ],
  [
    'a run is forgotten under its forks',
    'belonging.ts',
    "if («typeof verdict === 'string'») return true;",
    'false',
  ],
  [
    'a run is forgotten without its children',
    'belonging.ts',
    "if («!ids.has(header?.parent ?? '')») continue;",
    'true',
  ],
  [
    'a child is forgotten without its parent',
    'belonging.ts',
    'if («parent === undefined || !this.#journals.headers.has(parent)») return top;',
    'true',
  ],
  [
    'who forks while a run is forgotten has half of it',
    'forget.ts',
    'const guards = «[unchanged, family.unchanged]»;',
    '[unchanged]',
  ],
  [
    'a run that somebody else has forgotten is counted again',
    'belonging.ts',
    'unchanged: (batch) => «batch.requireEqual(headers, id, header!)»,',
    'batch',
  ],
  ['a parent goes before its children', 'forget.ts', '«[...runs].reverse()»', 'runs'],
  ['a run that has ended is not listed', 'writer.ts', 'if («header.owner === undefined»)', 'false'],
  [
    'what earlier builds have ended is not found',
    'ended.ts',
    'if («journals.knowsEnded || isEmpty(journals.headers.keys({ limit: 1 }))») return;',
    'true',
  ],
  [
    'what an earlier build has ended since is not found',
    'ended.ts',
    'if («begins && asOf.incarnation === incarnation») return undefined;',
    'true',
  ],
  [
    'a look at all begins anew each time',
    'ended.ts',
    'const begins = «asOf.after === undefined»;',
    'true',
  ],
  [
    'a look at all counts from when it came to its end',
    'ended.ts',
    'const as = «begins ? incarnation : asOf.incarnation»;',
    'incarnation',
  ],
  [
    'the list of the ended is taken for whole',
    'ended.ts',
    'if («!journals.knowsEnded») {',
    'false',
  ],
];
