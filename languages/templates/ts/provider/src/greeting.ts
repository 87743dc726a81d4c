// The words for somebody of this name; null if there is no name.
export function greeting(name: string): string | null {
  return name === '' ? null : `Hello, ${name}!`;
}
