/** The table a replay ends with. */
import pc from 'picocolors';

import type { Output } from '../output';
import type { ReplayReport } from './supervisor';

export function printReport(output: Output, report: ReplayReport): void {
  const zero = (count: number): string => (count === 0 ? pc.green('0') : pc.red(String(count)));
  const { kills, killsAsked, killsInEffect, killsWhileOpening } = report;
  output.line();
  output.pairs([
    ['conversations', `${report.conversations}, identical ${report.identical}`],
    ['messages', report.messages],
    ['tool calls', report.toolCalls],
    [
      'kills',
      `${kills} of ${killsAsked}: ${killsInEffect} inside an effect, ${killsWhileOpening} during open`,
    ],
    [
      'effects performed',
      `${report.effectsFired} (and ${report.lookUps} read-only calls; ${report.probes} times asked whether an effect had happened)`,
    ],
    ['messages, effects lost', zero(report.lost)],
    ['messages, effects repeated', zero(report.repeated)],
    ['effects of unknown outcome', zero(report.unknown)],
    [
      'commit latency',
      `p50 ${report.commitUsP50} us, p99 ${report.commitUsP99} us, of ${report.commits} commits`,
    ],
    [
      'restart to first new step',
      `median ${report.continueMsMedian} ms, max ${report.continueMsMax} ms`,
    ],
    ['medium', report.medium],
    ['durability class', `${report.class} (${report.reason})`],
    ['time', `${report.secondsTotal} s, ${report.generations} processes, seed ${report.seed}`],
  ]);
  output.line();
  for (const finding of [...report.findings, ...report.damages])
    output.line(`${pc.red('!')} ${finding}`);
  if (report.ok) {
    output.line(
      pc.green(
        `Killed ${kills} times; nothing lost, nothing repeated, every conversation identical.`,
      ),
    );
  } else output.line(pc.red('The pool does not hold what it should: see above.'));
}
