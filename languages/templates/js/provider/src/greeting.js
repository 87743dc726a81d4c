// The words for somebody of this name; null if there is no name.
export function greeting(name) {
  return name === '' ? null : `Hello, ${name}!`;
}
