"""What a request's path asks for."""


def name(path: str) -> str:
    """The name in its last segment, which may be empty."""
    return path.partition("?")[0].rpartition("/")[2]
