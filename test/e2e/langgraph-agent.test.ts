/**
 * The example agent, as a user runs it: killed in the middle of every effect, before and after it,
 * and started again.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { beforeAll, expect, it } from 'vitest';

import { scratchFolder } from '../helpers/scratch';

const root = join(import.meta.dirname, '../..');
const folder = scratchFolder('langgraph-agent');

// The ES modules of dist/ too, which the tests' own build leaves out.
beforeAll(() => {
  if (!existsSync(join(root, 'dist/langgraph.mjs')))
    execFileSync(process.execPath, [join(root, 'scripts/build-ts.mjs')]);
});

interface Ended {
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

function agent(name: string, kill = '', env: NodeJS.ProcessEnv = process.env): Promise<Ended> {
  const script = join(root, 'examples/langgraph-agent/agent.mjs');
  return new Promise((resolve) => {
    const args = [script, join(folder, `${name}.holdfast`), join(folder, `${name}.ledger`)];
    const killed = { ...env, HOLDFAST_EXAMPLE_KILL: kill };
    execFile(process.execPath, args, { env: killed }, (error, stdout, stderr) => {
      resolve({ signal: (error?.signal as string | undefined) ?? null, stdout, stderr });
    });
  });
}

function effects(name: string): string[] {
  const text = readFileSync(join(folder, `${name}.ledger`), 'utf8');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => (JSON.parse(line) as { name: string }).name);
}

const all = ['charge_card', 'change_flight', 'send_receipt'];

it('talks to the end, and has nothing to do when it is started again', async () => {
  const whole = await agent('whole');
  expect(whole.stderr).toBe('');
  expect(whole.stdout).toContain('ai: The receipt is on its way. Have a good flight!');
  expect(effects('whole')).toEqual(all);
  expect((await agent('whole')).stdout).toBe(`continuing at the end\n${whole.stdout}`);
  expect(effects('whole')).toEqual(all);
});

it('killed twice in the middle of each effect, it performs each once and says what it would have said', async () => {
  const { stdout: whole } = await agent('whole');
  for (const tool of ['charge_card', 'send_receipt']) {
    for (const when of ['before', 'after']) {
      const name = `${tool}-${when}`;
      expect((await agent(name, `${tool}:${when}`)).signal).toBe('SIGKILL');
      // After the effect there is nothing left to be killed in: the second start finds it and goes
      // on.
      const second = await agent(name, `${tool}:${when}`);
      expect(second.signal).toBe(when === 'before' ? 'SIGKILL' : null);
      const last = await agent(name);
      expect(last.stderr).toBe('');
      expect(last.stdout.replace(/^continuing.*\n/, '')).toBe(whole.replace(/^continuing.*\n/, ''));
      expect(effects(name)).toEqual(all);
    }
  }
});

it('killed between what a node wrote and the checkpoint that takes it up, it goes on there', async () => {
  const { stdout: whole } = await agent('whole');
  for (const [n, name] of ['user', 'model', 'tools'].entries()) {
    // Of the first turn: the input's checkpoint and that of the beginning come before it.
    const killing = `
      import { HoldfastSaver } from ${JSON.stringify(pathToFileURL(join(root, 'dist/langgraph.mjs')))};
      const { put, putWrites } = HoldfastSaver.prototype;
      const written = [];
      HoldfastSaver.prototype.putWrites = function (...given) {
        written.push(putWrites.apply(this, given));
        return written.at(-1);
      };
      HoldfastSaver.prototype.put = async function (...given) {
        if (given[2].step !== ${n + 1}) return put.apply(this, given);
        await Promise.all(written);
        process.kill(process.pid, 'SIGKILL');
      };`;
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(killing)}`;
    const at = `behind-${name}`;
    expect((await agent(at, '', { ...process.env, NODE_OPTIONS })).signal).toBe('SIGKILL');
    const { stdout } = await agent(at);
    expect(stdout).toBe(whole.replace(/^(continuing.*\n)?/, `continuing at ${name}\n`));
    expect(effects(at)).toEqual(all);
  }
});
