/**
 * One life of the driver process: from its start to its end, or to the SIGKILL that was planned for
 * it.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import type { Kill, KillKind } from './kill-plan';
import type { DriverToParent, LedgerToParent, ParentToLedger, PlaceOfPool } from './protocol';

export type GenerationEnd =
  | { readonly how: 'done' }
  | { readonly how: 'killed'; readonly kind: KillKind }
  | { readonly how: 'failed'; readonly code: string; readonly message: string };

export interface GenerationParts {
  readonly script: string;
  readonly folder: string;
  readonly number: number;
  readonly ledger: ChildProcess;
  readonly kill: Kill | undefined;
  /** A kill "at any moment" comes within this many milliseconds of the progress it waits for. */
  readonly momentSpanMs: number;
  /** How many messages are committed, in all. */
  readonly messages: () => number;
  /** How long a driver usually takes from its start until the pool is open. */
  readonly usualStartMs: number;
  readonly usualOpenMs: number;
  readonly on: {
    /** `startMs`: from the process's start until the pool was open; `openMs`: its opening alone. */
    started(startMs: number, openMs: number): void;
    opened(place: PlaceOfPool, continued: boolean): void;
    reached(conversation: number, messages: number): void;
    commits(us: readonly number[]): void;
    continued(ms: number): void;
    unknownOutcome(): void;
  };
}

/** The wall clock, finer than a millisecond, comparable between processes. */
const now = (): number => performance.timeOrigin + performance.now();

/** How much of what a driver that broke down wrote is shown. */
const STDERR_SHOWN = 4000;

export class Generation {
  readonly end: Promise<GenerationEnd>;
  readonly #child: ChildProcess;
  readonly #begunAt = now();
  #openingAt = now();
  readonly #onLedger = (message: LedgerToParent) => this.hearLedger(message);
  #timer: NodeJS.Timeout | undefined;
  #aimed = false;
  #aimedAt = 0;
  #fresh = 0;
  #opened = false;
  #killing = false;
  #held = false;
  #done = false;
  #failure: { code: string; message: string } | undefined;
  #thrown: unknown;
  #stderr = '';

  constructor(private readonly parts: GenerationParts) {
    this.#child = fork(parts.script, [parts.folder, String(parts.number)], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_SHOWN);
    });
    this.#child.on('message', (message) => this.hearSafely(message as DriverToParent));
    parts.ledger.on('message', this.#onLedger);
    this.end = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      // Its last messages may come after its end; the channel's own end comes after them.
      void Promise.all([once(this.#child, 'close'), once(this.#child, 'disconnect')]).then(
        ([ended]) => {
          this.settle(ended[0] as number | null, ended[1] as string | null, resolve, reject);
        },
      );
    });
    // Half of the kills that aim at starting hit anywhere in it, the other half (below) the opening
    // of the pool itself.
    const { kill } = parts;
    if (kill?.kind === 'open' && kill.fraction < 0.5)
      this.killIn(kill.fraction * 2 * parts.usualStartMs);
  }

  private settle(
    code: number | null,
    signal: string | null,
    resolve: (end: GenerationEnd) => void,
    reject: (error: unknown) => void,
  ): void {
    clearTimeout(this.#timer);
    this.parts.ledger.off('message', this.#onLedger);
    if (this.#thrown !== undefined) reject(this.#thrown);
    else if (this.#killing && signal === 'SIGKILL')
      resolve({ how: 'killed', kind: this.hitKind() });
    else if (this.#done) resolve({ how: 'done' });
    else if (this.#failure?.code) resolve({ how: 'failed', ...this.#failure });
    else {
      const last = this.#failure?.message ?? this.#stderr.trim();
      reject(
        new Error(`the driver process broke down (${signal ?? `exit code ${code}`}): ${last}`),
      );
    }
  }

  /** What the kill really hit, which is what is counted. */
  private hitKind(): KillKind {
    if (!this.#opened) return 'open';
    if (this.#held && this.parts.kill) return this.parts.kill.kind;
    return 'moment';
  }

  private hearSafely(message: DriverToParent): void {
    try {
      this.hear(message);
    } catch (error) {
      this.#thrown = error;
      this.#child.kill('SIGKILL');
    }
  }

  private hear(message: DriverToParent): void {
    const { on, kill, usualOpenMs } = this.parts;
    if (message.kind === 'opening') {
      this.#openingAt = now();
      if (kill?.kind === 'open' && kill.fraction >= 0.5)
        this.killIn((kill.fraction - 0.5) * 2 * usualOpenMs);
    } else if (message.kind === 'opened') {
      this.#opened = true;
      on.started(now() - this.#begunAt, now() - this.#openingAt);
      on.opened(message, message.continued);
    } else if (message.kind === 'progress') {
      for (const [conversation, messages] of message.reached) on.reached(conversation, messages);
      on.commits(message.commitUs);
      if (message.continuedAt !== undefined) on.continued(message.continuedAt - this.#begunAt);
      this.#fresh += message.fresh;
      this.aim();
    } else if (message.kind === 'unknownOutcome') on.unknownOutcome();
    else if (message.kind === 'done') this.#done = true;
    else this.#failure = message;
  }

  /** Once the progress the kill waits for is made, and this process itself got something done. */
  private aim(): void {
    const { kill } = this.parts;
    if (!kill || kill.kind === 'open') return;
    if (this.#aimed) {
      if (this.parts.messages() > this.#aimedAt + kill.patience) this.killIn(0);
      return;
    }
    if (this.#fresh === 0 || this.parts.messages() < kill.after) return;
    this.#aimed = true;
    this.#aimedAt = this.parts.messages();
    if (kill.kind === 'moment') this.killIn(kill.fraction * this.parts.momentSpanMs);
    else {
      const at = kill.kind === 'effect-before' ? 'before' : 'after';
      this.parts.ledger.send({ kind: 'hold', at } satisfies ParentToLedger);
    }
  }

  private hearLedger(message: LedgerToParent): void {
    if (message.kind !== 'held') return;
    this.#held = true;
    this.killIn(0);
  }

  private killIn(ms: number): void {
    const kill = () => {
      this.#killing = true;
      this.#child.kill('SIGKILL');
    };
    if (ms <= 0) kill();
    else this.#timer = setTimeout(kill, ms);
  }
}
