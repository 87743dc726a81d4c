"""Whom to greet, and how."""


def greeting(path: str) -> str:
    """The words for whoever the last segment of the path names."""
    name = path.partition("?")[0].rpartition("/")[2]
    return f"Hello, {name or 'world'}!"
