"""The words for people."""


def greeting(name: str) -> str | None:
    """The words for somebody of this name; none if there is no name."""
    return f"Hello, {name}!" if name else None
