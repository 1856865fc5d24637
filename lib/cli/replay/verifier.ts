/**
 * Compares what a pool keeps, byte for byte, with the recording; and the effects that were
 * performed with its receipts.
 */
import type { Entry } from '../../run/index';
import type { CalledTurn, Conversation, Recording } from './conversation';
import type { Performance, Verdict } from './protocol';

const FINDINGS_SHOWN = 20;

type IntentEntry = Extract<Entry, { kind: 'intent' }>;

/** One step or tool call that is complete in a journal. */
interface Recorded {
  readonly name: string;
  readonly result: unknown;
  readonly key?: string;
}

export class Verifier {
  #identical = 0;
  #lost = 0;
  #repeated = 0;
  #unknown = 0;
  #unfinished = 0;
  #toolCalls = 0;
  readonly #findings: string[] = [];
  readonly #performed = new Map<string, Performance[]>();

  constructor(
    private readonly recording: Recording,
    performances: readonly Performance[],
  ) {
    for (const performance of performances) {
      const call = `${performance.conversation} ${performance.call}`;
      this.#performed.set(call, [...(this.#performed.get(call) ?? []), performance]);
    }
  }

  compare(
    index: number,
    conversation: Conversation,
    journal: Iterable<readonly [number, Entry]>,
  ): void {
    const before = this.#lost + this.#repeated + this.#unknown + this.#unfinished;
    const { recorded, intents, finished } = collect(journal);
    if (!finished) {
      this.#unfinished += 1;
      this.find(`${conversation.id} is not finished`);
    }
    for (const intent of intents) {
      this.#unknown += 1;
      this.find(`${conversation.id}: ${intent.name} (${intent.key}) has an intent and no receipt`);
    }
    conversation.turns.forEach((turn, position) => {
      const kept = recorded[position];
      const name = turn.kind === 'said' ? turn.role : turn.name;
      const text = turn.kind === 'said' ? turn.text : turn.answer;
      if (kept?.name !== name || kept.result !== text) {
        this.#lost += 1;
        this.find(
          `${conversation.id}, turn ${position} (${name}): ${kept ? 'differs' : 'missing'}`,
        );
      }
      if (turn.kind === 'called') this.compareEffect(index, conversation, turn, kept);
    });
    const more = recorded.length - conversation.turns.length;
    if (more > 0) {
      this.#repeated += more;
      this.find(`${conversation.id}: ${more} more entries than turns`);
    }
    if (this.#lost + this.#repeated + this.#unknown + this.#unfinished === before)
      this.#identical += 1;
  }

  /**
   * The receipt's effect must have been performed, under its key, and the call's effect once under
   * any key.
   */
  private compareEffect(
    index: number,
    conversation: Conversation,
    turn: CalledTurn,
    kept?: Recorded,
  ): void {
    this.#toolCalls += 1;
    if (turn.safety === 'readOnly') return;
    const performed = this.#performed.get(`${index} ${turn.call}`) ?? [];
    if (performed.length > 1) {
      this.#repeated += performed.length - 1;
      this.find(
        `${conversation.id}: the effect of ${turn.name}, call ${turn.call}, happened ${performed.length} times`,
      );
    }
    if (!kept) return;
    const matches = performed.some(({ key }) => kept.key === undefined || key === kept.key);
    if (matches) return;
    this.#lost += 1;
    this.find(
      `${conversation.id}: ${turn.name}, call ${turn.call}, is recorded as done and never happened`,
    );
  }

  verdict(damages: readonly string[]): Verdict {
    return {
      conversations: this.recording.conversations.length,
      identical: this.#identical,
      messages: this.recording.messages,
      toolCalls: this.#toolCalls,
      lost: this.#lost,
      repeated: this.#repeated,
      unknown: this.#unknown,
      unfinished: this.#unfinished,
      damages,
      findings: this.#findings,
    };
  }

  private find(what: string): void {
    if (this.#findings.length < FINDINGS_SHOWN) this.#findings.push(what);
  }
}

function collect(journal: Iterable<readonly [number, Entry]>) {
  const recorded: Recorded[] = [];
  const intents = new Map<number, IntentEntry>();
  let finished = false;
  for (const [sequence, entry] of journal) {
    if (entry.kind === 'step') recorded.push({ name: entry.name, result: entry.result });
    else if (entry.kind === 'intent') intents.set(sequence, entry);
    else if (entry.kind === 'receipt') {
      const intent = intents.get(entry.intent);
      intents.delete(entry.intent);
      recorded.push({ name: intent?.name ?? '', result: entry.result, key: intent?.key });
    } else if (entry.kind === 'end') finished = true;
  }
  return { recorded, intents: intents.values(), finished };
}
