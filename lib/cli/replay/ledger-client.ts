/** A driver's (or the verifier's) connection to the ledger. */
import { connect, type Socket } from 'node:net';

import type { ProbeAnswer, ToolSafety } from '../../run/types';
import { LineReader } from './lines';
import type { LedgerAnswer, LedgerRequest, Performance } from './protocol';

type RequestBody<T> = T extends { id: number } ? Omit<T, 'id'> : never;

interface Waiting {
  readonly resolve: (answer: LedgerAnswer) => void;
  readonly reject: (error: Error) => void;
}

export interface Effect {
  readonly key: string;
  readonly conversation: number;
  readonly call: number;
  readonly safety: ToolSafety;
  readonly args: string;
}

export class LedgerClient {
  #nextId = 1;
  readonly #waiting = new Map<number, Waiting>();

  private constructor(private readonly socket: Socket) {
    const reader = new LineReader((line) => this.settle(JSON.parse(line) as LedgerAnswer));
    socket.on('data', (bytes) => reader.push(bytes));
    socket.on('error', (error) => this.fail(error));
    socket.on('close', () => this.fail(new Error('the ledger closed the connection')));
  }

  static async connect(path: string, generation: number): Promise<LedgerClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) =>
      socket.once('connect', resolve).once('error', reject),
    );
    const client = new LedgerClient(socket);
    await client.ask({ op: 'hello', generation });
    return client;
  }

  async perform(effect: Effect): Promise<string | null> {
    return (await this.ask({ op: 'perform', ...effect })).answer ?? null;
  }

  async probe(key: string): Promise<ProbeAnswer<string | null>> {
    const { happened, answer } = await this.ask({ op: 'probe', key });
    return happened ? { happened, result: answer ?? null } : { happened: false };
  }

  async performances(): Promise<readonly Performance[]> {
    return (await this.ask({ op: 'performances' })).performances ?? [];
  }

  close(): void {
    this.socket.removeAllListeners('close').destroy();
  }

  private ask(request: RequestBody<LedgerRequest>): Promise<LedgerAnswer> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.socket.write(`${JSON.stringify({ id, ...request })}\n`);
    });
  }

  private settle(answer: LedgerAnswer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer);
    else waiting?.reject(new Error(`the ledger refuses: ${answer.error}`));
  }

  private fail(error: Error): void {
    for (const waiting of this.#waiting.values()) waiting.reject(error);
    this.#waiting.clear();
  }
}
