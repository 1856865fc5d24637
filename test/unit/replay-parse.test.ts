/** What a replay takes as a recording, what it makes of it, and when it plans to kill. */
import { describe, expect, test } from 'vitest';

import {
  parseRecording,
  readRecording,
  safetyOf,
  type Turn,
} from '../../lib/cli/replay/conversation';
import { demoSample } from '../../lib/cli/demo-sample';
import { KillPlan, randomFrom, type Kill } from '../../lib/cli/replay/kill-plan';
import { LineReader } from '../../lib/cli/replay/lines';

const parse = (value: unknown) => parseRecording(JSON.stringify(value), 'input.json');
const turnsOf = (...messages: unknown[]): readonly Turn[] =>
  parse([{ traj: messages }]).conversations[0]?.turns ?? [];
const call = (id: string, name: string, args: unknown = '{}') => ({
  id,
  function: { name, arguments: args },
});

describe('a recording', () => {
  test('is an array of objects with traj or messages', () => {
    const message = { role: 'user', content: 'hi' };
    const recording = parse([
      { traj: [message] },
      { messages: [message, message] },
      { messages: [] },
    ]);
    expect(recording.conversations.map(({ messages }) => messages)).toEqual([1, 2, 0]);
    expect(recording).toMatchObject({ messages: 3, calls: 0, effects: 0 });
  });

  test.each([
    ['not json', 'input.json is not JSON'],
    ['{"traj":[]}', 'input.json is an object, not an array'],
    ['null', 'is null, not an array'],
    ['"text"', 'is a string, not an array'],
    ['[]', 'holds no conversation'],
    ['[[]]', 'conversation 0: expected an object whose `traj` or `messages`'],
    ['[{"traj":{}}]', 'conversation 0: expected an object'],
    ['[{"messages":[]},{"traj":["hi"]}]', 'conversation 1, message 0: expected a chat message'],
    ['[{"traj":[{"content":"hi"}]}]', 'message 0: expected a chat message'],
    ['[{"traj":[{"role":""}]}]', 'message 0: expected a chat message'],
  ])('is refused with its reason: %s', (text, reason) => {
    expect(() => parseRecording(text, 'input.json')).toThrow(reason);
    expect(() => parseRecording(text, 'input.json')).toThrow(
      expect.objectContaining({ code: 'ERR_HOLDFAST_INVALID_ARGUMENT' }),
    );
  });

  test('that is not there is refused with its name', () => {
    expect(() => readRecording('/no/such/file.json')).toThrow('/no/such/file.json cannot be read');
  });

  test('keeps the JSON text of every message as it was read', () => {
    const odd = {
      role: 'user',
      '2': 1,
      '1': null,
      content: 'ä\ud800"\n',
      list: [1.5, -0, 1e300],
      __proto: {},
    };
    expect(turnsOf(odd)).toEqual([{ kind: 'said', role: 'user', text: JSON.stringify(odd) }]);
    const text = '[{"traj":[{"role":"user","__proto__":{"a":1}}]}]';
    expect(parseRecording(text, 'x').conversations[0]?.turns[0]).toMatchObject({
      text: '{"role":"user","__proto__":{"a":1}}',
    });
  });

  test('is told from another by its hash', () => {
    const one = parse([{ traj: [{ role: 'user', content: 'a' }] }]);
    expect(parse([{ traj: [{ role: 'user', content: 'a' }] }]).hash).toBe(one.hash);
    expect(parse([{ traj: [{ role: 'user', content: 'b' }] }]).hash).not.toBe(one.hash);
    expect(parse([{ traj: [{ role: 'user', content: 'a' }] }, { traj: [] }]).hash).not.toBe(
      one.hash,
    );
  });
});

describe('tool calls', () => {
  test('are answered by the tool message that names them, in the order of the answers', () => {
    const answers = [
      { role: 'tool', tool_call_id: 'b', content: '2' },
      { role: 'tool', tool_call_id: 'a', content: '1' },
    ];
    const turns = turnsOf(
      { role: 'assistant', tool_calls: [call('a', 'book_a'), call('b', 'get_b', '[1]')] },
      ...answers,
    );
    expect(turns.slice(1)).toEqual([
      {
        kind: 'called',
        call: 0,
        name: 'get_b',
        args: '[1]',
        safety: 'readOnly',
        answer: JSON.stringify(answers[0]),
      },
      {
        kind: 'called',
        call: 1,
        name: 'book_a',
        args: '{}',
        safety: 'effect',
        answer: JSON.stringify(answers[1]),
      },
    ]);
  });

  test('are answered in order where ids do not match, and ids may be used again', () => {
    const tool = (content: string) => ({ role: 'tool', content });
    const asks = { role: 'assistant', tool_calls: [call('same', 'book')] };
    const turns = turnsOf(asks, tool('1'), asks, { ...tool('2'), tool_call_id: 'other' });
    expect(turns.map((turn) => (turn.kind === 'called' ? turn.answer : turn.role))).toEqual([
      'assistant',
      JSON.stringify(tool('1')),
      'assistant',
      JSON.stringify({ ...tool('2'), tool_call_id: 'other' }),
    ]);
  });

  test('without an answer are called all the same, and answers without a call are only said', () => {
    const turns = turnsOf(
      { role: 'tool', content: 'of nothing' },
      { role: 'assistant', tool_calls: [call('a', 'book')] },
      { role: 'user', content: 'never mind' },
      { role: 'assistant', tool_calls: [call('b', 'send')] },
    );
    expect(
      turns.map((turn) => (turn.kind === 'said' ? turn.role : `${turn.name} ${turn.answer}`)),
    ).toEqual(['tool', 'assistant', 'book null', 'user', 'assistant', 'send null']);
  });

  test('of other shapes get a name and arguments', () => {
    const calls = [{ id: 'a', name: 'flat', args: { x: 1 } }, 5, { function: { name: '' } }];
    const turns = turnsOf({ role: 'assistant', tool_calls: calls }).slice(1);
    expect(turns).toMatchObject([
      { name: 'flat', args: '{"x":1}' },
      { name: 'unnamed_tool', args: 'null' },
      { name: 'unnamed_tool', args: 'null' },
    ]);
    expect(turnsOf({ role: 'assistant', tool_calls: 'none' })).toHaveLength(1);
  });

  test('have the safety their name says', () => {
    const names = [
      'get_user',
      'calculate',
      'think',
      'list_all',
      'update_seat',
      'cancel_it',
      'book',
      'getaway',
      'send_x',
    ];
    expect(names.map(safetyOf)).toEqual([
      'readOnly',
      'readOnly',
      'readOnly',
      'readOnly',
      'idempotent',
      'idempotent',
      'effect',
      'effect',
      'effect',
    ]);
  });

  test('of the bundled sample are of all three safeties', () => {
    const { conversations, effects, calls } = parse(demoSample);
    const safeties = new Set(
      conversations.flatMap(({ turns }) =>
        turns.map((turn) => turn.kind === 'called' && turn.safety),
      ),
    );
    expect(safeties).toEqual(new Set([false, 'readOnly', 'idempotent', 'effect']));
    expect(conversations).toHaveLength(8);
    expect([effects > 10, calls > effects]).toEqual([true, true]);
  });
});

describe('the plan of kills', () => {
  const job = { kills: 200, seed: 5, messages: 5308, effects: 298 };
  /** Plays a job in which each kill comes a little later than planned. */
  const play = (late: number, over = job): Kill[] => {
    const plan = new KillPlan(over);
    const kills: Kill[] = [];
    let committed = 0;
    for (let kill = plan.next(committed); kill; kill = plan.next(committed)) {
      kills.push(kill);
      committed = Math.min(over.messages, Math.max(committed, kill.after) + late);
    }
    return kills;
  };

  test('is the same for the same seed, and another for another', () => {
    expect(play(3)).toEqual(play(3));
    expect(play(3)).not.toEqual(play(3, { ...job, seed: 6 }));
  });

  test('spreads over the whole job and hits every kind', () => {
    const kills = play(2);
    expect(kills).toHaveLength(200);
    const quarter = (of: number) =>
      kills.filter(({ after }) => Math.floor((4 * after) / job.messages) === of).length;
    for (const of of [0, 1, 2, 3]) expect(quarter(of)).toBeGreaterThan(20);
    const count = (kind: string) => kills.filter((kill) => kill.kind === kind).length;
    for (const kind of ['effect-before', 'effect-after', 'open'])
      expect(count(kind)).toBeGreaterThan(15);
    expect(count('moment')).toBeGreaterThan(60);
    expect(
      kills.every(({ after, fraction }) => after < job.messages && fraction >= 0 && fraction < 1),
    ).toBe(true);
  });

  test('plans no kill inside an effect where there is none', () => {
    expect(play(1, { ...job, effects: 0 }).filter(({ kind }) => kind.startsWith('effect'))).toEqual(
      [],
    );
  });

  test('a kill that came too late comes again, while the process opens', () => {
    const plan = new KillPlan({ ...job, kills: 1 });
    const kill = plan.next(0) as Kill;
    plan.missed(kill);
    expect(plan.left).toBe(1);
    expect(plan.next(job.messages)).toMatchObject({ kind: 'open', after: kill.after });
    expect([plan.left, plan.next(job.messages)]).toEqual([0, undefined]);
  });

  test('draws numbers from 0 to 1, evenly', () => {
    const random = randomFrom(1);
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let i = 0; i < 10_000; i++) tenths[Math.floor(random() * 10)]! += 1;
    for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});

test('lines are cut wherever the bytes were', () => {
  const bytes = Buffer.from('one\nzwölf\n\nlast');
  for (let step = 1; step <= bytes.byteLength; step++) {
    const lines: string[] = [];
    const reader = new LineReader((line) => lines.push(line));
    for (let at = 0; at < bytes.byteLength; at += step) reader.push(bytes.subarray(at, at + step));
    expect(lines).toEqual(['one', 'zwölf', '']);
  }
});
