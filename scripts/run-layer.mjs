// A command as a process group of its own, its output in a file: one that hangs is ended, with all
// that it started. One layer of layers.mjs is run so, and a test of test/mutants/.
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';

import { OwnTime, lookAt } from './own-time.mjs';

const HUNG_SECONDS = 15 * 60;
const LOOK_MS = 500;
const PATIENCE = 4; // a busy machine is given so many times the limit

/** A session of its own has the usual priority, also where the one that it is begun in has not. */
function lowerAsThisOne(pid) {
  try {
    const nice = readFileSync('/proc/self/autogroup', 'utf8').match(/nice (\d+)$/m);
    if (nice) writeFileSync(`/proc/${pid}/autogroup`, nice[1]);
  } catch {
    /* a kernel without them */
  }
}

/**
 * Resolves with `code`, or `signal`, or in words why it was ended: `hung`, when it has taken
 * `limit` seconds of its own, or `starved`, when it has not in `patience` times as long. `seconds`
 * are its own (own-time.mjs). What it started ends with it.
 */
export function runGroup(command, { log, limit, patience = PATIENCE, env = {}, cwd }) {
  return new Promise((resolve) => {
    const out = openSync(log, 'w');
    const child = spawn(command[0], command.slice(1), {
      stdio: ['ignore', out, out],
      env: { ...process.env, ...env },
      cwd,
      detached: true,
    });
    closeSync(out);
    lowerAsThisOne(child.pid);
    const own = new OwnTime(() => lookAt(child.pid));
    let ended = {};
    const end = () => {
      try {
        process.kill(-child.pid, 'SIGKILL');
      } catch {
        /* none is left */
      }
    };
    const timer = setInterval(() => {
      own.count();
      if (own.seconds >= limit) ended = { hung: `not done after ${limit} s` };
      else if (own.passed >= limit * patience)
        ended = {
          starved: `${Math.round(own.seconds)} of ${limit} s in ${Math.round(own.passed)}: the machine was busy`,
        };
      else return;
      end();
      // Nobody waits for what cannot be killed.
      if (own.passed >= limit * patience * 2) done(null, null);
    }, LOOK_MS);
    const done = (code, signal) => {
      own.count();
      clearInterval(timer);
      end();
      resolve({ code, signal, seconds: own.seconds, ...ended });
    };
    child.on('error', () => done(127, null));
    child.on('close', done);
  });
}

/**
 * Runs a layer; the processor time of all its processes is measured by the shell and stands in the
 * log. Resolves with its exit code, or in words how else it ended.
 */
export async function runLayer(layer, log) {
  const script = 'TIMEFORMAT="processor: %U %S"; time "$@"';
  const { code, signal, hung, starved } = await runGroup(
    ['bash', '-c', script, 'layer', ...layer.command],
    {
      log,
      limit: (layer.limit ?? HUNG_SECONDS) + 2 * (layer.seconds ?? 0),
      env: layer.env,
    },
  );
  if (hung) return `hung: ${hung}`;
  if (starved) return `starved: ${starved}`;
  return signal ? `signal ${signal}` : code;
}
