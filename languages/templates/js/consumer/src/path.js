// The name in a path's last segment, which may be empty.
export function nameIn(path) {
  return path.split('/').at(-1);
}
