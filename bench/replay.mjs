// The main job as a workload: `holdfast replay` over recorded conversations, its driver killed 20
// times, everything compared at its end.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const require = createRequire(import.meta.url);
const main = path.resolve(import.meta.dirname, '../dist/cli/main.js');
const COPIES = 8;

export function replayAt(place, medium, env, trajectories) {
  const custom = async (_workload, folder) => {
    let input = trajectories;
    if (input === undefined) {
      // Without a recording of somebody's own: the demo's conversation, several times.
      const { demoSample } = require('../dist/cli/demo-sample.js');
      input = path.join(folder, 'conversations.json');
      writeFileSync(input, JSON.stringify(Array.from({ length: COPIES }, () => demoSample).flat()));
    }
    const args = [
      'replay',
      input,
      '--pool',
      path.join(folder, 'pool'),
      '--medium',
      medium,
      '--kills',
      '20',
      '--think',
      '1',
      '--json',
    ];
    const { stdout } = await run(process.execPath, [main, ...args], {
      env: { ...process.env, ...env },
      maxBuffer: 64 << 20,
    });
    const report = JSON.parse(stdout);
    if (!report.ok) throw new Error('the replay found that something is not as it should be');
    const counts = {
      totalMs: report.secondsTotal * 1000,
      messages: report.messages,
      kills: report.kills,
      commitUs: report.commitUsP50,
      continueMs: report.continueMsMedian,
      lost: report.lost,
      repeated: report.repeated,
    };
    return {
      counts,
      facts: {
        medium: report.medium,
        class: report.class,
        how: 'every message a step, every tool call a tool',
      },
    };
  };
  return { name: 'replay', shown: 'Holdfast', module: '', place, custom };
}
