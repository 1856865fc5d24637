// What failed in one layer, short enough to be said again at the end of a run, where a log that was
// cut still shows it.
//   vitest     its JSON report: each failed test with the first lines of its message
//   others     the lines that name a failure, then how the output ends
const most = 40;
const shortened = (line) => (line.length > 300 ? `${line.slice(0, 300)}…` : line);

function vitest(report) {
  const lines = [];
  const say = (file, name, message) =>
    lines.push(
      `${file}: ${name}`,
      ...String(message)
        .split('\n')
        .slice(0, 8)
        .map((line) => `    ${line}`),
    );
  for (const file of JSON.parse(report).testResults) {
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    for (const test of failed) say(file.name, test.fullName, test.failureMessages.join('\n'));
    if (file.status === 'failed' && failed.length === 0)
      say(file.name, 'no test of it could begin', file.message);
  }
  return lines;
}

function printed(text) {
  const lines = text.trimEnd().split('\n');
  const says =
    /\bERROR\b|FAILED|^FAIL |^SUMMARY: |failed: |\bwrong: |replay with|again with|NOT CAUGHT|\b[1-9]\d* wrong\b/;
  const named = lines.filter((line) => says.test(line)).slice(0, most / 2);
  return [...named, ...lines.slice(-most / 2)];
}

/** text: what the layer printed; report: the runner's JSON, if it writes one. */
export function failedTests(runner, text, report) {
  let lines = runner === 'vitest' && report ? vitest(report) : printed(text);
  if (lines.length === 0) lines = printed(text);
  return lines.slice(0, 5 * most).map(shortened);
}
