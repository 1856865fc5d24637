// Places of rollbacks and of what they leave behind. See durable-runs.mjs.
export default [
  [
    'what was undone of a completed step lies ahead for ever',
    'rollback.ts',
    '«forgetUndone(run);»\n      await writer',
    '',
  ],
  [
    'a rollback that has ended is not known again',
    'rollback.ts',
    'const names = «recorded?.undone»\n',
    'false',
  ],
  [
    'a rollback is known again wherever it is asked for',
    'kept.ts',
    '«![...rollbacks[0].before].some(liesAhead)» ?',
    'true',
  ],
  [
    'a rollback that the code has passed is taken for its next one',
    'kept.ts',
    'while («rollbacks[0] && isPassed(rollbacks[0])»)',
    'false',
  ],
  [
    'the end of a rollback is not recorded',
    'rollback.ts',
    "«await writer.append({ kind: 'rollback', undone: names, ...(resumes && { resumes }) });»",
    '',
  ],
  [
    'the failure of a rollback is not recorded',
    'rollback.ts',
    '«await recordFailure(writer, textOf(error), resumes);»',
    '',
  ],
  [
    'a rollback that is gone on with undoes what lies ahead of it',
    'rollback.ts',
    'const stays = ({ sequence, forksAgo }: KeptTool): boolean =>\n      «!isUpTo({ intent: sequence, forksAgo }, upTo)»',
    'false',
  ],
  [
    'what a rollback that failed has tried lies ahead for ever',
    'rollback.ts',
    '«this.leaveBehind(run, resumes);»',
    '',
  ],
  [
    'a rollback that failed in two lives is taken for another when it is asked for again',
    'rollback.ts',
    'if (recorded) «run.rollbacks.unshift(recorded);»',
    ';',
  ],
  [
    'a rollback that is asked for twice undoes what lies ahead of it',
    'rollback.ts',
    'if («!recorded && this.#cameBy === run.come && this.#undoable.length === 0») return',
    'false',
  ],
  [
    'a rollback that was gone on with stands where it ended',
    'kept.ts',
    'else if («undone») rollbacks[index]',
    'false',
  ],
  [
    'a rollback that failed and was asked for again at once is two',
    'kept.ts',
    'last.before.size === before.size) «run.rollbacks.pop();»',
    ';',
  ],
  [
    'all that was undone lies behind the first rollback',
    'kept.ts',
    'if («outer.some((call) => calls.has(call))») continue;',
    'false',
  ],
  [
    'what was undone is undone again',
    'kept.ts',
    'if («undos.get(entry.key)?.receipt») undone.set',
    'false',
  ],
];
