/** Cuts a stream of bytes into lines. */
export class LineReader {
  #rest: Buffer[] = [];

  constructor(private readonly onLine: (line: string) => void) {}

  push(bytes: Buffer): void {
    let begin = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, begin)) {
      const line = Buffer.concat([...this.#rest, bytes.subarray(begin, end)]).toString('utf8');
      this.#rest = [];
      begin = end + 1;
      this.onLine(line);
    }
    if (begin < bytes.byteLength) this.#rest.push(bytes.subarray(begin));
  }
}
