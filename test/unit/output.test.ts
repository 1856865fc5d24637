/** How the command line speaks: tables in narrow terminals, values on one line, values as JSON. */
import { stripVTControlCharacters } from 'node:util';

import { expect, test } from 'vitest';

import { brief, Output } from '../../lib/cli/output';

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
