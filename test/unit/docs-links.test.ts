/** Links within the documents lead to files that are there, and to headings that are there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';

import { expect, test } from 'vitest';

const root = join(__dirname, '..', '..');
const inFolder = (folder: string): string[] =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
const pages = [...inFolder('.'), ...inFolder('docs'), ...inFolder('docs/decisions')];

/** As GitHub and npm name a heading's anchor. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-'),
  );
}

function brokenLinks(page: string, text: string): string[] {
  const links = [...text.replace(/^```.*?^```$/gms, '').matchAll(/\]\((?!\w+:)([^)\s]*)\)/g)].map(
    ([, link]) => link!,
  );
  return links.filter((link) => {
    const [file, anchor] = link.split('#') as [string, string | undefined];
    const target = file === '' ? join(root, page) : resolve(root, page, '..', file);
    if (!existsSync(target)) return true;
    return (
      anchor !== undefined &&
      !anchorsOf(target === join(root, page) ? text : readFileSync(target, 'utf8')).includes(anchor)
    );
  });
}

test.each(pages.map((page) => relative('.', page)))('%s', (page) => {
  expect(brokenLinks(page, readFileSync(join(root, page), 'utf8'))).toEqual([]);
});

test('a link that leads nowhere would be noticed', () => {
  expect(
    brokenLinks(
      'README.md',
      '# A heading\n[a](#a-heading) [b](docs/nosuch.md) [c](docs/errors.md#nosuch) [d](#other)\n',
    ),
  ).toEqual(['docs/nosuch.md', 'docs/errors.md#nosuch', '#other']);
});
