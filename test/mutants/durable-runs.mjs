#!/usr/bin/env node
// As run.mjs, of lib/run/: makes single places of the runs wrong, one at a time, and says whether
// their unit tests notice.
//
//   node test/mutants/durable-runs.mjs [--only N,N-N] [--check]
//       on a tree that is built (scripts/build.sh); ten seconds each
//
// Not part of npm test. The sources and the tests are copied into build-mutants-lib/, each mutant
// behind a switch there.
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { runGroup } from '../../scripts/run-layer.mjs';
import aside from './aside.mjs';
import children from './children.mjs';
import forgetting from './forgetting.mjs';
import leases from './leases.mjs';
import { numbersIn, placeOf } from './places.mjs';
import rollbacks from './rollbacks.mjs';

const project = path.join(import.meta.dirname, '../..');
const root = path.join(project, 'build-mutants-lib');
const { values: options } = parseArgs({
  options: { only: { type: 'string' }, check: { type: 'boolean', default: false } },
});

// what is wrong then, file under lib/run/, where, instead: as in list.mjs.
const mutants = [
  ...aside,
  ...children,
  ...forgetting,
  ...leases,
  ...rollbacks,
  [
    'the fencing token does not rise',
    'open.ts',
    'const token = «before.token + 1»;',
    'before.token',
  ],
  [
    'beginning to drive is not conditional',
    'open.ts',
    '} else «batch.requireEqual(drivers, id, before).requireEqual(headers, id, header)»;',
    'batch',
  ],
  [
    'a run is begun over another',
    'new-run.ts',
    '«PoolBatch.putNew(batch, headers, id, header);»',
    'batch.put(headers, id, header);',
  ],
  [
    'a run that is driven is taken over',
    'open.ts',
    'if («holder.isAlive(before, id)») throw',
    'false',
  ],
  [
    'a driver that was replaced goes on',
    'writer.ts',
    'return «pool.batch().requireEqual(driverTexts, this.run, this.#driverText)»;',
    'pool.batch()',
  ],
  [
    'an entry is written over',
    'writer.ts',
    '«PoolBatch.putNew(batch, entriesByKey, numbered(this.#key, sequence), whole);»',
    'batch.put(entriesByKey, numbered(this.#key, sequence), whole);',
  ],
  [
    'entries are eventual',
    'writer.ts',
    'this.commit(fill, «options.durability», sequence, options.late);',
    "'eventual'",
  ],
  [
    'an attempt that is over goes on recording',
    'writer.ts',
    "if («!late») this.mustBeCurrent('what was called');",
    'false',
  ],
  [
    'how an effect ended is told over what was found out',
    'tool.ts',
    'if («!isOver(writer)») return;',
    'true',
  ],
  [
    'a run that is closed keeps its driver',
    'writer.ts',
    '«this.putHeader(batch, this.#epochs);»\n      const isFree',
    '',
  ],
  [
    'epochs are remembered behind the end',
    'writer.ts',
    'if («!this.#ended») this.journals.fresh.set',
    'true',
  ],
  [
    'who closes a run keeps its epochs',
    'writer.ts',
    'giveBackLater(() => this.giveBack());\n    «this.forgetEpochs();»',
    '',
  ],
  [
    'a wait that has ended is forgotten before the code hears of it',
    'writer.ts',
    'const leave = «this.activity.occupy(call)»;\n    try {\n      await this.commit(this.stopWaiting',
    '() => {}',
  ],
  [
    'a header that was refused counts as stored',
    'writer.ts',
    'this.#isHeaderUnsure ||= «isHeader»;',
    'false',
  ],
  [
    'epochs in a commit that was refused are lost',
    'writer.ts',
    'if («isEpochs») this.keepEpochs',
    'false',
  ],
  [
    'that a rollback failed is not recorded where it is refused',
    'writer.ts',
    'if («!options.owed») return made;',
    'true',
  ],
  [
    'a wait that was refused is waited for',
    'writer.ts',
    'who asked is told.\n      «this.activity.stopWaiting(call);»',
    '',
  ],
  [
    'who is fenced keeps its epochs',
    'writer.ts',
    'this.leave(fenced);\n    «this.forgetEpochs();»',
    '',
  ],
  [
    'a receipt leaves the intent open',
    'tool.ts',
    '«if (isListed(way)) batch.delete(intents, key);»',
    '',
  ],
  [
    'a tool is called with what its caller changed',
    'run.ts',
    'const own = «kept?.receipt ? args : ownCopy(args)»;',
    'args',
  ],
  [
    'a step is called with what its caller changed',
    'run.ts',
    'const own = «given && !kept ? ([ownCopy(given[0])] as const) : given»;',
    'given',
  ],
  [
    'what was called within an attempt is called again',
    'tool.ts',
    'if («way.called») call.again',
    'false',
  ],
  [
    'a compensation is given what its caller changed',
    'rollback.ts',
    'result: «ownCopy(called.result)», name',
    'called.result',
  ],
  [
    'an effect that is come to again is undone twice',
    'rollback.ts',
    '|| «this.#known.has(called.key)») return;',
    'false',
  ],
  [
    'a probe has no end',
    'tool.ts',
    'await attemptWithin(«limits», context, what, asking',
    '{ ...limits, timeout: undefined, signal: undefined }',
  ],
  ['cancel cuts off an attempt', 'tool.ts', 'whatOf(call), calling, «true»)', 'false'],
  ['a probe is not cut off by cancel', 'tool.ts', 'what, asking, «false»)', 'true'],
  ['cancel ends nothing', 'retry.ts', 'return «cancel?.aborted» ? cancel', 'false'],
  [
    'an attempt is called with what the one before changed',
    'tool.ts',
    'call.fn(«ownCopy(call.args)», context)',
    'call.args',
  ],
  [
    'only what is an effect now leaves the list',
    'tool.ts',
    "return «call.safety === 'effect' || writer.journals.intents.has(key)»;",
    "call.safety === 'effect'",
  ],
  [
    "what is known of a run's effects outlives it",
    'run.ts',
    '(batch) => «forgetKnown(writer.journals, this.#parts.uid, batch)»',
    'undefined',
  ],
  ['an intent is not listed', 'tool.ts', "also: «openIntent(way, 1, 'calling')»", '() => {}'],
  [
    'an effect without a receipt is called again',
    'tool.ts',
    "if («call.safety === 'effect' && !kept.neverHappened && !resolution») {",
    'false',
  ],
  [
    'an effect that failed is called again unasked',
    'tool.ts',
    "if («call.safety === 'effect' && !never») {",
    'false',
  ],
  [
    'two tools share a key',
    'tool.ts',
    'call.undoes === undefined ? «`${keyPrefix(uid)}${intent}`»',
    '`${keyPrefix(uid)}${call.occurrence}`',
  ],
  [
    'a compensation has a key of its own each time',
    'tool.ts',
    ': «`${call.undoes.key}-undo`»',
    '`hf-${uid}-${intent}-undo`',
  ],
  [
    'what was said of an attempt that gave a result stays',
    'tool.ts',
    "if («from !== 'tool' || resolutions.has(key)») batch",
    "from !== 'tool'",
  ],
  [
    'what is said to have happened meanwhile is tried again',
    'tool.ts',
    'if («resolved?.happened») return false;',
    'false',
  ],
  [
    'what is said never to have happened while it went on stands',
    'tool.ts',
    'if («way.called && resolutions.get(way.key)?.happened === false»)',
    'false',
  ],
  [
    'what was said of an effect that never happened outlives its run',
    'outcomes.ts',
    '«for (const key of resolutions.keys({ prefix })) batch.delete(resolutions, key);»',
    '',
  ],
  [
    'what is said beside a probe is taken for the next attempt',
    'tool.ts',
    'else if («isListed(way)») batch.requireAbsent(resolutions, way.key);',
    'false',
  ],
  [
    'an attempt is not written down before it is made',
    'tool.ts',
    'if («attempt > 1» && !(await mark(way, attempt)))',
    'false',
  ],
  [
    'what a probe says of a receipt is not kept',
    'tool.ts',
    "«await receipt(way, kept.attempt, 0, 'probe', answer.result);»",
    '',
  ],
  [
    'an operation is applied twice',
    'once.ts',
    '«batch.requireAbsent(operations, id).put(operations, id, { digest, at: Date.now() });»',
    'batch.put(operations, id, { digest, at: Date.now() });',
  ],
  [
    'who asks again is answered before the first time is durable',
    'once.ts',
    '«await pool.settled();»',
    '',
  ],
  ['an id may be of other changes', 'once.ts', 'if («before.digest !== digest») {', 'false'],
  [
    'two take the same signal',
    'waits.ts',
    '«batch.requirePresent(signals, key).delete(signals, key);»',
    'batch.delete(signals, key);',
  ],
  [
    'a signal that was taken stays',
    'waits.ts',
    '«batch.requirePresent(signals, key).delete(signals, key);»',
    'batch.requirePresent(signals, key);',
  ],
  [
    'a sleep is longer when the clock is set back',
    'waits.ts',
    '«Math.min(moment - Date.now(), end - performance.now())»',
    'moment - Date.now()',
  ],
  [
    'a wait suspends before an answer is heard',
    'waits.ts',
    'if («left <= 0») await turn();',
    'false',
  ],
  [
    'what is taken is nothing to do',
    'waits.ts',
    'const leave = «writer.activity.occupy(call.identity)»;',
    '() => {}',
  ],
  ['a sleep begins anew', 'waits.ts', 'const moment = «call.kept?.wait?.until ?? until»;', 'until'],
  [
    'a failed attempt is taken never to have happened',
    'kept.ts',
    'tool.neverHappened = «entry.neverHappened»;',
    'true',
  ],
  ['the last attempt is not counted', 'kept.ts', '«tool.attempt = entry.attempt;»', ''],
  [
    'a fork goes on with an effect of its origin',
    'kept.ts',
    'if («!isUnderWay(kept)» && !own.calls',
    'true',
  ],
  [
    'the entry at which a run was forked is not part of it',
    'kept.ts',
    'if («pair[0] > upTo») return;',
    'pair[0] >= upTo',
  ],
  [
    'an effect is resolved while it is called',
    'outcomes.ts',
    'return «!Holder.of(journals.pool).isAlive(journals.drivers.get(intent.run), intent.run)»;',
    'true',
  ],
  [
    'a resolution is not conditional',
    'outcomes.ts',
    'const batch = «pool.batch().requireEqual(intents, id, intent)»;',
    'pool.batch()',
  ],
  [
    'a resolution takes the place of one that was made meanwhile',
    'outcomes.ts',
    '«batch.requireAbsent(resolutions, id)».put',
    'batch',
  ],
  [
    'any answer agrees with the first',
    'outcomes.ts',
    'if («before.happened === now.happened && isSame(before.value, now.value)») return;',
    'true',
  ],
  [
    "another's run becomes a child",
    'open.ts',
    'if («there.header.parent !== writer.run») throw',
    'false',
  ],
  [
    "a fork's child begins anew",
    'open.ts',
    'const forked = «parent.recorded && forkOfChild(journals, writer.run, id, parent.recorded)»;',
    'undefined',
  ],
  [
    'what a child did behind the checkpoint is shared',
    'fork.ts',
    'if («isBefore») before.push',
    'true',
  ],
  [
    'a finished child of a fork is to be driven again',
    'fork.ts',
    "...(«last.kind === 'end'» && { end: last }),",
    'false',
  ],
  [
    'the arguments of a step are not compared',
    'step.ts',
    'if («kept.entry.hash === hash») return;',
    'true',
  ],
  [
    'a run that sleeps is not looked at any more',
    'journals.ts',
    'if («until === undefined») return;\n    batch.put',
    'true',
  ],
  [
    'what an older release signalled wakes nobody',
    'candidates.ts',
    '«found.add(run);»\n    behind',
    '',
  ],
  [
    'the resolution of an outcome wakes nobody',
    'outcomes.ts',
    '«journals.calls(batch, intent.run);»',
    '',
  ],
  ['a signal wakes nobody', 'signals.ts', '«journals.calls(batch, run);»', ''],
  [
    'what an older release resolved wakes nobody',
    'candidates.ts',
    '«if (run !== undefined) found.add(run);»',
    '',
  ],
  [
    'a run is struck off though something came for it meanwhile',
    'candidates.ts',
    'if (said) «batch.requireEqual(called, id, said).delete(called, id);»',
    'batch.delete(called, id);',
  ],
  [
    'a moment that has come is struck off for good when the clock is set back',
    'candidates.ts',
    '«(until) => until !== moment»',
    '() => true',
  ],
  [
    'an older release takes the list of the awake for whole',
    'journals.ts',
    "«batch.delete(this.marks, 'awake')»",
    'batch',
  ],
  [
    'a condition of the batch that a run is begun with is taken for a run that is there',
    'begin.ts',
    'if («!isConflict(error) || !journals.headers.has(id)») throw',
    'false',
  ],
  [
    'a claim that waits misses what no commit tells',
    'waiting-claims.ts',
    '«this.#allAgainAt = performance.now() + LOOK_AGAIN_MS;»',
    'this.#allAgainAt = 1e9;',
  ],
  [
    'a run that was opened for an aborted claim is kept',
    'waiting-claims.ts',
    'else «run.close();»',
    ';',
  ],
  [
    'a claim that waits tries a broken run again and again',
    'waiting-claims.ts',
    'if («problems.length > 0») this.#broken',
    'false',
  ],
  [
    'a claim that waits looks at all runs whenever one is begun',
    'waiting-claims.ts',
    '«this.#exhausted.add(prefix);»',
    '',
  ],
  [
    'a run that got on counts what failed before',
    'writer.ts',
    'if («this.#header.failed !== undefined && RESULTS.includes(entry.kind)») this',
    'false',
  ],
  [
    'the death of a driver that only waited counts as a failure',
    'open.ts',
    "before.holder !== '' && «header.status === 'running'»;",
    'true',
  ],
  [
    'a parked run is claimed',
    'writer.ts',
    'const waits = «until === undefined ? [] : [{ until }]»;',
    '[{ until: until ?? 0 }]',
  ],
];

function changed(name) {
  let text = readFileSync(path.join(project, 'lib/run', name), 'utf8');
  const edits = mutants.flatMap(([what, of, where, instead], index) => {
    if (of !== name) return [];
    return [{ ...placeOf(what, name, text, where), number: index + 1, instead }];
  });
  const places = new Map();
  for (const edit of edits) places.set(edit.begin, [...(places.get(edit.begin) ?? []), edit]);
  for (const list of [...places.values()].sort((a, b) => b[0].begin - a[0].begin)) {
    const [{ begin, end }] = list;
    let made = text.slice(begin, end);
    const statement = made.endsWith(';');
    for (const { number, instead } of list) {
      const on = `process.env.HOLDFAST_MUTANT === '${number}'`;
      made = statement
        ? `if (${on}) { ${instead} } else { ${made} }`
        : `(${on} ? (${instead}) : (${made}))`;
    }
    text = text.slice(0, begin) + made + text.slice(end);
  }
  return text;
}

const TESTS = [
  'run.test',
  'run-journal',
  'run-claims',
  'run-effects',
  'run-rollback',
  'run-outcomes',
  'run-arguments',
  'run-attempts',
  'run-edges',
  'run-waiting',
  'run-child',
  'run-full',
  'run-leases',
  'run-hooks',
  'run-aside',
  'run-forget',
  'run-workers',
  'long-life',
].map((name) => `test/unit/${name}`);

async function test(number) {
  const args = ['--bail', '1', '--testTimeout', '20000', '-t', '^((?!1,000 times).)*$', ...TESTS];
  const log = path.join(root, 'log');
  const { code, hung, starved } = await runGroup(['npx', 'vitest', 'run', ...args], {
    log,
    limit: 180,
    cwd: root,
    env: { HOLDFAST_MUTANT: String(number) },
  });
  const out = readFileSync(log, 'utf8');
  return { holds: code === 0, starved, out: hung ? `${out}\nhung: ${hung}` : out };
}

const files = new Map(
  [...new Set(mutants.map(([, name]) => name))].map((name) => [name, changed(name)]),
);
if (options.check) {
  console.log(`${mutants.length} mutants of the runs`);
} else {
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  for (const part of [
    'lib',
    'scripts',
    'test/unit',
    'test/helpers',
    'package.json',
    'tsconfig.json',
    'vitest.config.mts',
  ]) {
    cpSync(path.join(project, part), path.join(root, part), { recursive: true });
  }
  for (const part of ['build', 'node_modules'])
    symlinkSync(path.join(project, part), path.join(root, part));
  for (const [name, text] of files)
    writeFileSync(path.join(root, 'lib/run', name), `// @ts-nocheck\n${text}`);
  const without = await test(0);
  if (!without.holds) throw new Error(`the tests do not hold without a mutant: ${without.out}`);
  // it is built by now
  writeFileSync(path.join(root, 'test/unit/support/build-dist.ts'), 'export default () => {};\n');
  let passed = true;
  for (const number of options.only ? numbersIn(options.only) : mutants.map((_, i) => i + 1)) {
    const { holds, starved, out } = await test(number);
    passed &&= !holds && !starved;
    const failed =
      out
        .match(/^.*(FAIL|hung: ).*$/m)?.[0]
        .replace(/\x1b\[[0-9;]*m/g, '')
        .trim() ?? 'does not build';
    const said = starved ? `NOT RUN: ${starved}` : holds ? 'SURVIVED' : failed.slice(0, 150);
    console.log(`${number} | ${mutants[number - 1][0]} | ${said}`);
  }
  process.exitCode = passed ? 0 : 1;
}
