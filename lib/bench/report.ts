/** Writes a report: the lines as JSON, the page; and gives the table for the terminal. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { pageOf, type PageContent } from './page';

export interface Written {
  readonly lines: string;
  readonly page: string;
}

export function writeReport(folder: string, content: PageContent): Written {
  mkdirSync(folder, { recursive: true });
  const lines = join(folder, 'lines.jsonl');
  const page = join(folder, 'report.html');
  writeFileSync(lines, content.lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
  writeFileSync(page, pageOf(content));
  return { lines, page };
}
