// Mutants of what hooks, probes, compensations, and branches of failed calls call of a run:
// lib/run/identity.ts, kept.ts, run.ts.
export default [
  [
    'what a hook calls is counted with its run',
    'hooks.ts',
    'await «inside(scope, () => hook({ run: this.run, steps: this.#steps, ...about }))»;',
    'hook({ run: this.run, steps: this.#steps, ...about })',
  ],
  [
    'what a probe calls is counted with its run',
    'tool.ts',
    "scopeWithin(writer, «asideOf(identityOfCall(call), 'probe', '')»);",
    'call.within',
  ],
  [
    'what a compensation calls is counted with its run',
    'rollback.ts',
    'await «inside(scopeWithin(writer, aside), undone)»;',
    'undone()',
  ],
  [
    'a compensation that is tried again does all anew',
    'rollback.ts',
    'if («before && !before.receipt») {',
    'false',
  ],
  [
    'what a hook calls leads to a hook',
    'hooks.ts',
    "if («isAside(identity, 'hook')») return;",
    'false',
  ],
  ['what is called aside is counted', 'hooks.ts', 'if («isAside(this.within)») return;', 'false'],
  [
    'what a hook called that has ended lies ahead',
    'kept.ts',
    'return «hooked.has(point)» ||',
    'false',
  ],
  ['what a start called lies ahead', 'kept.ts', "|| «point.startsWith('onStart ')»;", 'false'],
  [
    'what a probe called lies ahead',
    'kept.ts',
    "return («nameAside(outer, 'probe')» ??",
    'undefined',
  ],
  [
    'what a compensation called lies ahead',
    'kept.ts',
    "?? «nameAside(outer, 'undo')») !== undefined",
    'undefined',
  ],
  [
    'a rollback asks for what was called aside before it',
    'kept.ts',
    'filter((call) => «!isAside(call)»)',
    'true',
  ],
  [
    'what was called beside a step lies ahead of a version in it',
    'kept.ts',
    "if («within === ''») return calls.size > 0;",
    'true',
  ],
  [
    'a branch of a call that has failed does all anew',
    'run.ts',
    'const kept = calls.get(identity) ?? «left.get(identity)»;',
    'undefined',
  ],
];
