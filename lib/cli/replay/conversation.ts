/**
 * Reads recorded agent conversations and turns each into the order of things a driver does.
 *
 * Input: an array of objects whose `traj` or `messages` is a list of chat messages. Each message is
 * kept as the JSON text of exactly what was read, so that what comes back from a pool can be
 * compared byte for byte.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { typeError } from '../../errors';
import type { ToolSafety } from '../../run/types';

/** A message nobody had to do anything for: what the user, the system or the model said. */
export interface SaidTurn {
  readonly kind: 'said';
  readonly role: string;
  readonly text: string;
}

/** A tool call, and the tool message that answers it. */
export interface CalledTurn {
  readonly kind: 'called';
  /** Number of the call in its conversation, from 0. */
  readonly call: number;
  readonly name: string;
  readonly safety: ToolSafety;
  readonly args: string;
  /** Null when the recording has no answer. */
  readonly answer: string | null;
}

export type Turn = SaidTurn | CalledTurn;

export interface Conversation {
  readonly id: string;
  readonly turns: readonly Turn[];
  readonly messages: number;
  readonly calls: number;
}

export interface Recording {
  readonly conversations: readonly Conversation[];
  /** SHA-256 of the messages: which recording a pool was filled from. */
  readonly hash: string;
  readonly messages: number;
  readonly calls: number;
  /** Calls that change something outside. */
  readonly effects: number;
}

const READ_ONLY = /^(get|search|list|find|look_?up|read|check|fetch|query|calculate|think)(_|$)/i;
const IDEMPOTENT = /^(update|set|put|cancel|delete|remove)(_|$)/i;

/**
 * By the tool's name: look-ups may be repeated; what sets a state may be repeated with its key; all
 * else is an effect.
 */
export function safetyOf(name: string): ToolSafety {
  if (READ_ONLY.test(name)) return 'readOnly';
  return IDEMPOTENT.test(name) ? 'idempotent' : 'effect';
}

export function readRecording(file: string): Recording {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw typeError(`${file} cannot be read: ${(cause as Error).message}`);
  }
  return parseRecording(text, file);
}

export function parseRecording(text: string, source: string): Recording {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw typeError(`${source} is not JSON: ${(cause as Error).message}`);
  }
  if (!Array.isArray(value)) {
    throw typeError(`${source} is ${kindOf(value)}, not an array of conversations`);
  }
  if (value.length === 0) throw typeError(`${source} holds no conversation`);
  const conversations = value.map((item, index) => parseConversation(item, index, source));
  const hash = createHash('sha256');
  let messages = 0;
  let calls = 0;
  let effects = 0;
  for (const conversation of conversations) {
    messages += conversation.messages;
    calls += conversation.calls;
    for (const turn of conversation.turns) {
      hash
        .update(turn.kind === 'said' ? turn.text : `${turn.name}${turn.args}${turn.answer}`)
        .update('\n');
      if (turn.kind === 'called' && turn.safety !== 'readOnly') effects += 1;
    }
    hash.update('\n');
  }
  return { conversations, hash: hash.digest('hex'), messages, calls, effects };
}

interface Message {
  readonly role: string;
  readonly tool_calls?: unknown;
  readonly tool_call_id?: unknown;
}

interface OpenCall {
  readonly id: unknown;
  readonly name: string;
  readonly args: string;
}

function parseConversation(item: unknown, index: number, source: string): Conversation {
  const where = `${source}, conversation ${index}`;
  const list = isObject(item) ? (item['traj'] ?? item['messages']) : undefined;
  if (!Array.isArray(list)) {
    throw typeError(
      `${where}: expected an object whose \`traj\` or \`messages\` is a list of chat messages`,
    );
  }
  const turns: Turn[] = [];
  let waiting: OpenCall[] = [];
  let calls = 0;
  const called = (open: OpenCall, answer: string | null) => {
    const { name, args } = open;
    turns.push({ kind: 'called', call: calls++, name, args, answer, safety: safetyOf(name) });
  };
  list.forEach((value: unknown, position) => {
    const message = asMessage(value, `${where}, message ${position}`);
    const text = JSON.stringify(value);
    const answered = message.role === 'tool' ? findCall(waiting, message) : undefined;
    if (answered) {
      waiting = waiting.filter((open) => open !== answered);
      called(answered, text);
      return;
    }
    if (message.role !== 'tool') {
      for (const open of waiting) called(open, null);
      waiting = callsOf(message);
    }
    turns.push({ kind: 'said', role: message.role, text });
  });
  for (const open of waiting) called(open, null);
  const id = `conversation-${String(index).padStart(5, '0')}`;
  return { id, turns, messages: list.length, calls };
}

/**
 * The call a tool message answers: the one it names, else the first that waits. Recordings do reuse
 * ids.
 */
function findCall(waiting: readonly OpenCall[], message: Message): OpenCall | undefined {
  return waiting.find((open) => open.id === message.tool_call_id) ?? waiting[0];
}

function asMessage(value: unknown, where: string): Message {
  if (isObject(value) && typeof value['role'] === 'string' && value['role'] !== '') {
    return value as unknown as Message;
  }
  throw typeError(
    `${where}: expected a chat message, an object with a \`role\`; got ${kindOf(value)}`,
  );
}

function callsOf(message: Message): OpenCall[] {
  if (!Array.isArray(message.tool_calls)) return [];
  return message.tool_calls.map((call: unknown) => {
    const outer = isObject(call) ? call : {};
    const inner = isObject(outer['function']) ? outer['function'] : outer;
    const name = inner['name'];
    const args = inner['arguments'] ?? inner['args'] ?? null;
    return {
      id: outer['id'],
      name: typeof name === 'string' && name !== '' ? name.slice(0, 100) : 'unnamed_tool',
      args: typeof args === 'string' ? args : JSON.stringify(args),
    };
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
