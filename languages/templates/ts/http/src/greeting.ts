// The words for whoever the last segment of the path names.
export function greeting(path: string): string {
  const name = path.split('/').at(-1);
  return `Hello, ${name || 'world'}!`;
}
