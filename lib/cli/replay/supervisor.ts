/**
 * The parent of a replay: starts the ledger and the driver, kills the driver with SIGKILL as
 * planned, starts it again until the job is done, then has a fresh process verify what the pool
 * holds.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import { HoldfastError, type ErrorCode } from '../../errors';
import { inTemporaryFolder } from '../temporary';
import { readRecording, type Recording } from './conversation';
import { Generation, type GenerationEnd } from './generation';
import { KillPlan, type Kill, type KillKind } from './kill-plan';
import type {
  LedgerCounts,
  LedgerToParent,
  ParentToLedger,
  PlaceOfPool,
  Verdict,
  VerifierToParent,
} from './protocol';
import { writeReplayFiles, type ReplayConfig } from './tape';

export interface ReplayOptions {
  readonly input: string;
  readonly pool: string;
  readonly medium: 'auto' | 'pmem' | 'file';
  readonly kills: number;
  readonly seed: number;
  readonly parallel: number;
  /** How long the scripted model thinks before each of its messages. */
  readonly thinkMs: number;
  /** The script of the driver process. Tests put one with a planted mistake in its place. */
  readonly driverScript?: string;
  readonly watch?: ReplayWatch;
}

/** What somebody who looks on is told. */
export interface ReplayWatch {
  started?(recording: Recording): void;
  opened?(place: PlaceOfPool): void;
  progress?(messages: number, kills: number): void;
  killed?(kill: { number: number; kind: KillKind; messages: number }): void;
  verifying?(): void;
}

export interface ReplayReport extends Verdict, PlaceOfPool {
  readonly pool: string;
  readonly seed: number;
  readonly killsAsked: number;
  readonly kills: number;
  readonly killsInEffect: number;
  readonly killsWhileOpening: number;
  readonly generations: number;
  readonly effectsFired: number;
  readonly lookUps: number;
  readonly probes: number;
  readonly deduplicated: number;
  readonly unknownOutcomes: number;
  readonly commits: number;
  readonly commitUsP50: number;
  readonly commitUsP99: number;
  readonly continueMsMedian: number;
  readonly continueMsMax: number;
  readonly secondsTotal: number;
  readonly ok: boolean;
}

export async function replay(options: ReplayOptions): Promise<ReplayReport> {
  const recording = readRecording(options.input);
  options.watch?.started?.(recording);
  return inTemporaryFolder(tmpdir(), 'holdfast-', (folder) =>
    new Supervisor(options, recording, folder).run(),
  );
}

const script = (name: string): string => join(__dirname, `${name}.js`);

class Supervisor {
  readonly #config: ReplayConfig;
  readonly #hadLedger: boolean;
  readonly #begun = performance.now();
  readonly #reached: number[];
  readonly #commitUs: number[] = [];
  readonly #continueMs: number[] = [];
  readonly #startMs: number[] = [];
  readonly #openMs: number[] = [];
  readonly #killed = { effect: 0, open: 0, all: 0 };
  #generations = 0;
  #unknownOutcomes = 0;
  #messages = 0;
  #place: PlaceOfPool | undefined;
  #ledger: ChildProcess | undefined;
  #ledgerFailure: string | undefined;

  constructor(
    private readonly options: ReplayOptions,
    private readonly recording: Recording,
    folder: string,
  ) {
    const pool = resolve(options.pool);
    this.#config = {
      folder,
      input: resolve(options.input),
      hash: recording.hash,
      pool,
      medium: options.medium,
      parallel: options.parallel,
      thinkMs: options.thinkMs,
      ledgerFile: `${pool}.ledger.jsonl`,
    };
    this.#hadLedger = existsSync(this.#config.ledgerFile);
    this.#reached = recording.conversations.map(() => 0);
  }

  async run(): Promise<ReplayReport> {
    writeReplayFiles(this.#config, this.recording);
    try {
      this.#ledger = await startLedger(this.#config.folder);
      this.#ledger.on('message', (message: LedgerToParent) => {
        if (message.kind === 'failed') this.#ledgerFailure = message.message;
      });
      await this.killAndContinue();
      this.options.watch?.verifying?.();
      const verdict = await this.verify();
      return this.report(verdict, await this.countEffects());
    } finally {
      await stop(this.#ledger);
    }
  }

  private async killAndContinue(): Promise<void> {
    const { messages, effects } = this.recording;
    const plan = new KillPlan({
      kills: this.options.kills,
      seed: this.options.seed,
      messages,
      effects,
    });
    let done = false;
    while (plan.left > 0 || !done) {
      const kill = plan.next(this.#messages);
      const end = await this.live(kill);
      if (end.how === 'failed') throw new HoldfastError(end.code as ErrorCode, end.message);
      if (end.how === 'killed') {
        this.count(end.kind);
        continue;
      }
      done = true;
      if (kill) plan.missed(kill);
    }
  }

  /** One life of the driver, to its end or its killing. */
  private live(kill: Kill | undefined): Promise<GenerationEnd> {
    this.#generations += 1;
    const generation = new Generation({
      script: this.options.driverScript ?? script('driver-main'),
      folder: this.#config.folder,
      number: this.#generations,
      ledger: this.#ledger as ChildProcess,
      kill,
      momentSpanMs: 2 + 2 * this.options.thinkMs,
      messages: () => this.#messages,
      usualStartMs: median(this.#startMs) || 80,
      usualOpenMs: median(this.#openMs) || 5,
      on: {
        started: (startMs, openMs) => {
          this.#startMs.push(startMs);
          this.#openMs.push(openMs);
        },
        opened: (place, continued) => this.opened(place, continued),
        reached: (conversation, messages) => this.advance(conversation, messages),
        commits: (us) => this.#commitUs.push(...us),
        continued: (ms) => this.#continueMs.push(ms),
        unknownOutcome: () => (this.#unknownOutcomes += 1),
      },
    });
    return generation.end.catch((error: unknown) => {
      // Whatever became of a driver without a ledger, the ledger's reason is the one to know.
      if (this.#ledgerFailure === undefined) throw error;
      throw new HoldfastError('ERR_HOLDFAST_DIVERGED', this.#ledgerFailure);
    });
  }

  private opened(place: PlaceOfPool, continued: boolean): void {
    if (this.#place) return;
    this.#place = place;
    if (continued && !this.#hadLedger && this.#killed.all === 0) {
      rmSync(this.#config.ledgerFile, { force: true }); // begun a moment ago, and empty
      throw new HoldfastError(
        'ERR_HOLDFAST_NOT_FOUND',
        `${this.#config.pool} holds a replay that was begun, but its ledger ${this.#config.ledgerFile} is gone: ` +
          'nobody knows any more which effects happened. Delete the pool, or choose another --pool',
      );
    }
    this.options.watch?.opened?.(place);
  }

  private advance(conversation: number, messages: number): void {
    const before = this.#reached[conversation] ?? 0;
    if (messages <= before) return;
    this.#reached[conversation] = messages;
    this.#messages += messages - before;
    this.options.watch?.progress?.(this.#messages, this.#killed.all);
  }

  private count(kind: KillKind): void {
    this.#killed.all += 1;
    if (kind === 'open') this.#killed.open += 1;
    if (kind === 'effect-before' || kind === 'effect-after') this.#killed.effect += 1;
    this.options.watch?.killed?.({ number: this.#killed.all, kind, messages: this.#messages });
    this.options.watch?.progress?.(this.#messages, this.#killed.all);
  }

  private async verify(): Promise<Verdict> {
    const child = fork(
      script('verifier-main'),
      [this.#config.folder, String(this.#generations + 1)],
      {
        execArgv: [],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      },
    );
    let verdict: Verdict | undefined;
    let failure: HoldfastError | undefined;
    child.on('message', (message: VerifierToParent) => {
      if (message.kind === 'verdict') verdict = message;
      else if (message.kind === 'failed') {
        failure = new HoldfastError(message.code as ErrorCode, message.message);
      }
    });
    const [ended] = await Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
    const [code, signal] = ended as [number | null, string | null];
    if (failure) throw failure;
    if (!verdict)
      throw new Error(`the verifying process ended with ${signal ?? code} and no verdict`);
    return verdict;
  }

  private async countEffects(): Promise<LedgerCounts> {
    const ledger = this.#ledger as ChildProcess;
    ledger.send({ kind: 'count' } satisfies ParentToLedger);
    for (;;) {
      const [message] = (await once(ledger, 'message')) as [LedgerToParent];
      if (message.kind === 'counts') return message;
    }
  }

  private report(verdict: Verdict, counts: LedgerCounts): ReplayReport {
    const { medium, class: durabilityClass, reason } = this.#place as PlaceOfPool;
    const sound = verdict.lost === 0 && verdict.repeated === 0 && verdict.unknown === 0;
    return {
      ...withoutKind(verdict),
      pool: this.#config.pool,
      medium,
      class: durabilityClass,
      reason,
      seed: this.options.seed,
      killsAsked: this.options.kills,
      kills: this.#killed.all,
      killsInEffect: this.#killed.effect,
      killsWhileOpening: this.#killed.open,
      generations: this.#generations,
      effectsFired: counts.performed,
      lookUps: counts.lookUps,
      probes: counts.probes,
      deduplicated: counts.deduplicated,
      unknownOutcomes: this.#unknownOutcomes,
      commits: this.#commitUs.length,
      commitUsP50: quantile(this.#commitUs, 0.5),
      commitUsP99: quantile(this.#commitUs, 0.99),
      continueMsMedian: round(median(this.#continueMs)),
      continueMsMax: round(quantile(this.#continueMs, 1)),
      secondsTotal: round((performance.now() - this.#begun) / 1000),
      ok: sound && verdict.unfinished === 0 && verdict.damages.length === 0,
    };
  }
}

async function startLedger(folder: string): Promise<ChildProcess> {
  const child = fork(script('ledger-main'), [folder], {
    execArgv: [],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error('the ledger process ended before it began');
  });
  await Promise.race([once(child, 'message'), ended]);
  return child;
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.disconnect();
  await gone;
}

function withoutKind(verdict: Verdict): Verdict {
  const { kind: _kind, ...rest } = verdict as Verdict & { kind?: string };
  return rest;
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}

const median = (values: readonly number[]): number => quantile(values, 0.5);
const round = (value: number): number => Math.round(value * 10) / 10;
