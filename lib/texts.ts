/** Which texts are kept as they are when they become UTF-8. */

/** Without a lone half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** And without a zero character, behind which keys go on: no two of them become the same bytes. */
export function isKeyText(text: string): boolean {
  return !text.includes('\0') && isWellFormed(text);
}
