/** Programs that run against dist/ in a process or a worker thread of their own. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { Worker } from 'node:worker_threads';

const dist = path.join(import.meta.dirname, '../../../dist/index.js');
const prelude = `const holdfastPath = ${JSON.stringify(dist)}, holdfast = require(holdfastPath);\n`;
// With -e there is no script's name among the arguments.
const childPrelude = `${prelude}process.argv.splice(1, 0, '-e');\n`;

const HUNG_MS = 500_000;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ChildOptions {
  readonly args?: readonly string[];
  readonly uid?: number;
}

/**
 * Runs `source` (CommonJS; `holdfast` is there; arguments in process.argv from 2 on) until it ends.
 */
export function runChild(source: string, { args = [], uid }: ChildOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', childPrelude + source, '--', ...args], { uid });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => (stdout += chunk));
    child.stderr.on('data', (chunk) => (stderr += chunk));
    const timer = setTimeout(() => child.kill('SIGKILL'), HUNG_MS);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Starts `source` in a worker thread; `data` is workerData. */
export function startWorker(source: string, data: unknown): Worker {
  const body = `const { parentPort, workerData } = require('node:worker_threads');\n`;
  return new Worker(prelude + body + source, { eval: true, workerData: data });
}

/** The next message of a worker, or its failure. */
export function messageOf<T>(worker: Worker): Promise<T> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
