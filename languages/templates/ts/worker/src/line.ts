// What the worker says.
export function line(beat: number): string {
  return `beat ${beat}`;
}
