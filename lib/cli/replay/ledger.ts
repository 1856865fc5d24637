/**
 * The outside world of a replay, as a process of its own that nobody kills: performs effects,
 * counts them, and knows them by their idempotency keys. Every effect is a line in a file, so that
 * a replay can be continued later.
 *
 * It does for each safety what a real service of that kind does: an `effect` is performed as often
 * as it is asked for; an `idempotent` one is performed once for each key; a look-up changes
 * nothing. The count is therefore a test of the pool.
 *
 * When the next driver says hello, whatever the former one had sent and nobody had read is dropped:
 * the process is dead, and an answered probe must stay true.
 */
import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';

import { LineReader } from './lines';
import type {
  HoldAt,
  LedgerAnswer,
  LedgerCounts,
  LedgerRequest,
  LedgerToParent,
  ParentToLedger,
  Performance,
  PerformRequest,
} from './protocol';
import { readWorld, type ReplayConfig, type WorldAnswer } from './tape';

export class Ledger {
  readonly #world: WorldAnswer[][];
  #file: number | undefined;
  readonly #performances: Performance[] = [];
  readonly #known = new Map<string, Performance>();
  #deduplicated = 0;
  #lookUps = 0;
  #probes = 0;

  constructor(private readonly config: ReplayConfig) {
    this.#world = readWorld(config);
  }

  /**
   * Reads what was performed before, or begins the file. Called for every driver, so does nothing
   * the second time.
   */
  open(): void {
    if (this.#file !== undefined) return;
    const { ledgerFile, hash } = this.config;
    const old = existsSync(ledgerFile) ? readFileSync(ledgerFile, 'utf8') : '';
    const [first, ...lines] = old.split('\n').filter((line) => line !== '');
    if (first !== undefined && (JSON.parse(first) as { ledgerOf?: string }).ledgerOf !== hash) {
      throw new Error(
        `${ledgerFile} is the ledger of another recording: delete it or choose another --pool`,
      );
    }
    this.#file = openSync(ledgerFile, 'a');
    if (first === undefined) writeSync(this.#file, `${JSON.stringify({ ledgerOf: hash })}\n`);
    for (const line of lines) this.remember(JSON.parse(line) as Performance);
  }

  counts(): LedgerCounts {
    return {
      performed: this.#performances.length,
      deduplicated: this.#deduplicated,
      lookUps: this.#lookUps,
      probes: this.#probes,
    };
  }

  performances(): readonly Performance[] {
    return this.#performances;
  }

  /** Does it, and says what the answer is; not yet that it was done. */
  perform(request: PerformRequest): Omit<LedgerAnswer, 'id'> {
    const { key, conversation, call, safety } = request;
    const world = this.#world[conversation]?.[call];
    if (!world) return { error: `conversation ${conversation} has no call ${call}` };
    if (world.args !== request.args) {
      return {
        error: `call ${call} of conversation ${conversation} came with other arguments: ${request.args}`,
      };
    }
    if (safety === 'readOnly') this.#lookUps += 1;
    else if (safety === 'idempotent' && this.#known.has(key)) this.#deduplicated += 1;
    else {
      const performance = { key, conversation, call };
      if (this.#file === undefined) return { error: 'nobody said hello' };
      writeSync(this.#file, `${JSON.stringify(performance)}\n`);
      this.remember(performance);
    }
    return { answer: world.answer };
  }

  probe(key: string): Omit<LedgerAnswer, 'id'> {
    this.#probes += 1;
    const known = this.#known.get(key);
    if (!known) return { happened: false };
    return {
      happened: true,
      answer: this.#world[known.conversation]?.[known.call]?.answer ?? null,
    };
  }

  private remember(performance: Performance): void {
    this.#performances.push(performance);
    this.#known.set(performance.key, performance);
  }
}

/** Serves one ledger on a socket, and holds an effect where the parent wants to kill the driver. */
export class LedgerServer {
  #generation = 0;
  #driver: Socket | undefined;
  #hold: HoldAt | undefined;

  constructor(
    private readonly ledger: Ledger,
    private readonly tell: (message: LedgerToParent) => void,
  ) {}

  listen(path: string): void {
    createServer((socket) => this.serve(socket)).listen(path, () => this.tell({ kind: 'ready' }));
  }

  hear(message: ParentToLedger): void {
    if (message.kind === 'hold') this.#hold = message.at;
    else this.tell({ kind: 'counts', ...this.ledger.counts() });
  }

  private serve(socket: Socket): void {
    const reader = new LineReader((line) => this.answer(socket, JSON.parse(line) as LedgerRequest));
    socket.on('data', (bytes) => reader.push(bytes));
    // A driver killed in the middle of a call resets its connection; there is nobody left to tell.
    socket.on('error', () => socket.destroy());
  }

  private answer(socket: Socket, request: LedgerRequest): void {
    try {
      this.take(socket, request);
    } catch (error) {
      // It can't go on without its file. The parent is told why, the driver only sees its
      // connection end.
      this.tell({ kind: 'failed', message: (error as Error).message });
      socket.destroy();
    }
  }

  private take(socket: Socket, request: LedgerRequest): void {
    if (request.op === 'hello') this.greet(socket, request.generation);
    // Of a former driver, or of one that is held and about to be killed: unheard.
    else if (this.#driver !== socket) return;
    if (request.op === 'perform') this.performOrHold(socket, request);
    else if (request.op === 'probe')
      this.reply(socket, { id: request.id, ...this.ledger.probe(request.key) });
    else if (request.op === 'performances') {
      this.reply(socket, { id: request.id, performances: this.ledger.performances() });
    } else this.reply(socket, { id: request.id });
  }

  private greet(socket: Socket, generation: number): void {
    if (generation < this.#generation) return;
    this.ledger.open();
    this.#generation = generation;
    this.#driver?.destroy();
    this.#driver = socket;
    this.#hold = undefined;
  }

  private performOrHold(socket: Socket, request: PerformRequest): void {
    const hold = request.safety === 'readOnly' ? undefined : this.#hold;
    if (hold !== 'before') {
      const done = this.ledger.perform(request);
      if (!hold) {
        this.reply(socket, { id: request.id, ...done });
        return;
      }
    }
    // From here until the parent has killed it, this driver gets no answer and none of its requests
    // is heard.
    this.#driver = undefined;
    this.#hold = undefined;
    this.tell({ kind: 'held', at: hold });
  }

  private reply(socket: Socket, answer: LedgerAnswer): void {
    if (!socket.destroyed) socket.write(`${JSON.stringify(answer)}\n`);
  }
}
