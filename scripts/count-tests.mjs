// How many tests of one runner passed, failed and were skipped, from what it has printed:
//   doctest   the last line of a doctest program, or of one that ends like it
//   vitest    its JSON report
//   summary   lines "… N passed, N failed[, N skipped]": the last of each program
// A runner that ended badly without naming a failure has failed once; one that left no result
// throws. A native case that cannot run here says so with MESSAGE("skipped: why") and returns:
// doctest calls that passed, we do not.

function doctest(text) {
  const all = [
    ...text.matchAll(/test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped/g),
  ];
  if (all.length === 0) throw new Error('no summary');
  const said = text.match(/MESSAGE: skipped: /g)?.length ?? 0;
  const [passed, failed, skipped] = all.at(-1).slice(1).map(Number);
  return [passed - said, failed, skipped + said];
}

function vitest(text) {
  const report = JSON.parse(text);
  // A file that fails before its first test has no test to count.
  const dead = report.testResults.filter(
    (file) =>
      file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  return [
    report.numPassedTests,
    report.numFailedTests + dead.length,
    report.numPendingTests + (report.numTodoTests ?? 0),
  ];
}

function summary(text) {
  const lines = [...text.matchAll(/^(\S+): (\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)];
  if (lines.length === 0) throw new Error('no summary');
  const last = new Map(
    lines.map(([, program, ...counts]) => [program, counts.map((number) => Number(number ?? 0))]),
  );
  return [0, 1, 2].map((i) => [...last.values()].reduce((sum, counts) => sum + counts[i], 0));
}

export function countTests(runner, text, exitCode) {
  const counts = { doctest, vitest, summary }[runner](text);
  if (exitCode !== 0 && counts[1] === 0) counts[1] = 1;
  return { passed: counts[0], failed: counts[1], skipped: counts[2] };
}
