// What the worker says.
export function line(beat) {
  return `beat ${beat}`;
}
