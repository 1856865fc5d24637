// Prints "passed failed skipped" of one runner, or exits 1 if it left no result.
//   count-tests.mjs doctest <its console output> <its exit code>
//   count-tests.mjs vitest <its JSON report> <its exit code>
//   count-tests.mjs summary <output whose last such line says "… N passed, N failed[, N skipped]"> <its exit code>
// A runner that ended badly without naming a failure has failed once. A native case that cannot run here says so with
// MESSAGE("skipped: why") and returns: doctest calls that passed, we do not.
import { readFileSync } from 'node:fs';

function doctest(text) {
  const last = [...text.matchAll(/test cases:\s*\d+ \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped/g)].pop();
  if (!last) throw new Error('no summary');
  const said = text.match(/MESSAGE: skipped: /g)?.length ?? 0;
  const [passed, failed, skipped] = last.slice(1).map(Number);
  return [passed - said, failed, skipped + said];
}

function vitest(text) {
  const report = JSON.parse(text);
  // A file that fails before its first test has no test to count.
  const dead = report.testResults
    .filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'));
  return [report.numPassedTests, report.numFailedTests + dead.length,
    report.numPendingTests + (report.numTodoTests ?? 0)];
}

function summary(text) {
  const last = [...text.matchAll(/^\S+: (\d+) passed, (\d+) failed(?:, (\d+) skipped)?$/gm)].pop();
  if (!last) throw new Error('no summary');
  return last.slice(1).map((number) => Number(number ?? 0));
}

const [runner, file, code] = process.argv.slice(2);
try {
  const counts = { doctest, vitest, summary }[runner](readFileSync(file, 'utf8'));
  if (code !== '0' && counts[1] === 0) counts[1] = 1;
  console.log(counts.join(' '));
} catch (error) {
  console.error(`count-tests: ${runner}: ${error.message}`);
  process.exit(1);
}
