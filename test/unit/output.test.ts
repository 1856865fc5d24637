/** How the command line speaks: tables in narrow terminals, values on one line, values as JSON. */
import { stripVTControlCharacters } from 'node:util';

import { expect, test } from 'vitest';

import { linesOf } from '../../lib/cli/differences';
import { brief, Output } from '../../lib/cli/output';
import type { Difference } from '../../lib/index';

/**
 * What is written, line by line without colours, where stdout is a terminal of so many columns; 0:
 * a pipe.
 */
function written(columns: number, speak: (output: Output) => void, json = false): string[] {
  let text = '';
  const to = {
    isTTY: columns > 0,
    columns: columns || undefined,
    write: (more: string) => (text += more),
  };
  speak(new Output(json, to as unknown as NodeJS.WriteStream));
  return stripVTControlCharacters(text).trimEnd().split('\n');
}

const head = ['id', 'name', 'error'];
const rows = [
  ['hf-0123456789abcdef', 'a tool with a long name', `Error: ${'it took very long '.repeat(20)}`],
  ['hf-1', 'short', ''],
];
const wide = (output: Output): void => output.table(head, rows, ['name', 'error']);

test.each([200, 100, 80, 70])(
  'a table fits into %i columns; what may not be cut is whole',
  (columns) => {
    const lines = written(columns, wide);
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(columns);
    expect(lines[1]).toContain('hf-0123456789abcdef');
    expect(lines[1]).toContain('…');
    expect(lines[2]).toContain('short');
  },
);

test('a list of runs, a journal and a history fit into 60 columns', () => {
  const time = '2026-11-29 18:26:24';
  const tables: [string[], (string | number)[][], string[]][] = [
    [
      ['run', 'status', 'began', 'took', 'waits for'],
      [['job/000001', 'waiting', time, '801 ms', 'signal approve']],
      ['waits for'],
    ],
    [
      ['#', 'after', 'kind', 'what', 'took', 'attempt', 'epoch'],
      [[2, '115 ms', 'checkpoint', '"label 0 of many"', '1.2 s', 1, 221762]],
      ['what'],
    ],
    [
      ['checkpoint', 'label', 'saved', 'added', 'from'],
      [['run/long@250', 'label 250', time, '134 B', 'run/long@249']],
      ['label', 'from'],
    ],
  ];
  for (const [head, rows, mayCut] of tables) {
    const lines = written(60, (output) => output.table(head, rows, mayCut));
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60);
    expect(lines[1]).toContain(mayCut.includes('what') ? 'checkpoint' : time);
  }
});

test('a pipe gets all of it, and so does a terminal that is wide enough', () => {
  for (const columns of [0, 1000])
    expect(written(columns, wide)[1]).toContain('it took very long it took very long');
});

test('what may not be cut is broken where nothing else helps, and nothing of it is lost', () => {
  const id = Array.from({ length: 200 }, (_, i) => String.fromCharCode(97 + (i % 26))).join('');
  const status = '\u001b[32mfinished\u001b[39m';
  const lines = written(80, (output) =>
    output.table(
      head,
      [
        [id, status, 'y'],
        ['short', status, 'y'],
      ],
      ['error'],
    ),
  );
  expect(lines.filter((line) => / finished +y$/.test(line))).toHaveLength(2);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines.map((line) => line.trim().split(/\s+/)[0]).join('')).toBe(`id${id}short`);
});

test('a row is one line, and what a terminal would obey does not move its columns', () => {
  const odd = [
    ['a\nb\tc\u001b[2Jd', 'x'],
    ['plain', 'y'],
  ];
  const lines = written(80, (output) => output.table(['run', 'of'], odd));
  expect(lines).toHaveLength(3);
  expect(lines[1]).toContain('a\\nb\\tc\\x1b[2Jd');
  expect(new Set(lines.map((line) => line.search(/of|x$|y$/))).size).toBe(1);
});

test('a value is one line, errors too', () => {
  const error = Object.assign(new RangeError('too\nfar', { cause: new Error('beneath') }), {
    code: 5,
  });
  for (const value of [error, { error, more: [error] }, new Map([['e', error]])]) {
    const text = brief(value, 1000);
    expect(text).toMatch(/RangeError: too far.*code: 5.*cause.*Error: beneath/);
    expect(text).not.toMatch(/\n|\bat .*:\d+:\d+/);
  }
});

test('JSON loses as little as JSON can', () => {
  const value = {
    error: Object.assign(new RangeError('far', { cause: new Error('beneath') }), { code: 5 }),
    map: new Map<unknown, unknown>([
      [{ k: 1 }, 1],
      [{ k: 2 }, new Set([2n])],
    ]),
    texts: new Map([
      ['__proto__', 1],
      ['b', 2],
    ]),
    numbers: [NaN, -Infinity, 1],
    pattern: /x/gi,
    bytes: new Uint8Array([1, 2]),
    words: new Uint16Array([256]),
    buffer: new Uint8Array([3]).buffer,
    view: new DataView(new Uint8Array([4, 5, 6]).buffer, 1, 2),
  };
  const text = written(0, (output) => output.value(value), true).join('\n');
  expect(JSON.parse(text)).toEqual({
    error: {
      name: 'RangeError',
      message: 'far',
      cause: { name: 'Error', message: 'beneath' },
      code: 5,
    },
    map: [
      [{ k: 1 }, 1],
      [{ k: 2 }, ['2']],
    ],
    texts: JSON.parse('{"__proto__":1,"b":2}') as unknown,
    numbers: ['NaN', '-Infinity', 1],
    pattern: '/x/gi',
    bytes: [1, 2],
    words: [256],
    buffer: [3],
    view: [5, 6],
  });
});

// Of 60,000 rows in one table nobody has seen the end.
test.each([
  [0, 60_000],
  [120, 2000],
  [60, 2000],
])('very many rows stand below each other (%i columns, %i rows)', (columns, length) => {
  const many = Array.from({ length }, (_, n) => [
    `run ${n}`,
    n % 7 === 0 ? '予約した' : 'short',
    n % 3 === 0 ? 'x'.repeat(n % 50) : '',
  ]);
  const lines = written(columns, (output) =>
    output.table(head, [...many, ['last', 'the longest of names', 'y']], ['error']),
  );
  expect(lines).toHaveLength(length + 2);
  const [first] = lines;
  for (const n of [0, 1, 49, 50, 51, length - 1]) {
    const line = lines[n + 1]!;
    expect(line.indexOf(many[n]![0]!)).toBe(first!.indexOf('id'));
    expect(line.indexOf(many[n]![1]!)).toBe(first!.indexOf('name'));
  }
  expect(lines.at(-1)!.indexOf('y')).toBe(first!.indexOf('error'));
});

test('a value that is longer than a terminal is wide is broken under itself', () => {
  const state = { messages: Array.from({ length: 9 }, (_, i) => `message number ${i}`) };
  const pairs = (output: Output): void =>
    output.pairs([
      ['run', 'trip'],
      ['waits for', 'signal approve'],
      ['state', brief(state)],
      ['wide', '\u4e2d'.repeat(40)],
    ]);
  for (const columns of [40, 60, 100]) {
    const lines = written(columns, pairs);
    for (const line of lines) {
      expect(line.length).toBeLessThanOrEqual(columns);
      expect(line).toMatch(/^ (run|waits for|state|wide|) +\S/);
      if (/^ {6}/.test(line)) expect(line).toMatch(/^ {14}\S/);
    }
    const text = lines.join('\n').replace(/\s+/g, ' ');
    for (const message of state.messages) expect(text).toContain(message);
    expect(text.match(/\u4e2d/g)).toHaveLength(40);
  }
  expect(written(0, pairs)).toHaveLength(4);
});

test('what changed is one line where there is room, else what was stands above what is', () => {
  const one: Difference = {
    path: ['messages', 3, 'content'],
    kind: 'changed',
    before: { a: 'x'.repeat(30) },
    after: { b: ['y'.repeat(30)] },
  };
  const show = (columns: number, difference = one) =>
    written(columns, (output) => {
      for (const line of linesOf(difference, output.columns)) output.line(line);
    });
  const was = `{ a: '${'x'.repeat(30)}' }`;
  const is = `{ b: [ '${'y'.repeat(30)}' ] }`;
  for (const columns of [0, 200])
    expect(show(columns)).toEqual([`~ .messages[3].content: ${was} \u2192 ${is}`]);
  expect(show(60)).toEqual([`~ .messages[3].content:`, `    - ${was}`, `    + ${is}`]);
  for (const line of show(30)) expect(line.length).toBeLessThanOrEqual(30);
  expect(show(30, { path: ['n'], kind: 'added', after: 'a word and '.repeat(6) })).toEqual([
    '+ .n:',
    '    "a word and a word and a',
    '    word and a word and a word',
    '    and a word and "',
  ]);
});

test('of long texts, bytes and sets only what differs is shown, and where', () => {
  const text = (before: unknown, after: unknown): string =>
    linesOf({ path: ['s'], kind: 'changed', before, after }, Infinity)
      .map((line) => stripVTControlCharacters(line))
      .join('\n');
  const long = 'word '.repeat(1000);
  expect(text(`${long}old${long}`, `${long}newer${long}`)).toBe(
    '~ .s (from character 5000 of 10003, now 10005): ' +
      '\u2026"word word word word oldword word word word "\u2026 \u2192 ' +
      '\u2026"word word word word newerword word word word "\u2026',
  );
  expect(text('short', 'other')).toBe('~ .s: "short" \u2192 "other"');
  // Not in the middle of a character.
  const faces = '\u{1f600}'.repeat(200);
  const shown = text(`${faces}a${faces}`, `${faces}b${faces}`);
  expect(shown).toBe(Buffer.from(shown).toString());
  const bytes = Buffer.alloc(500);
  const others = Buffer.from(bytes).fill(255, 300, 302);
  expect(text(bytes, others)).toMatch(/from byte 300 of 500, now 500.*0000ffff0000/);
  const many = Array.from({ length: 50 }, (_, n) => ({ n }));
  expect(text(new Set([...many, 'a']), new Set([...many.map((one) => ({ ...one })), 'b']))).toBe(
    '~ .s (of a Set of 51, now 51): "a" \u2192 "b"',
  );
  expect(text(new Set(many), new Set(many.slice(1)))).toContain('{ n: 0 } \u2192 nothing else');
});
