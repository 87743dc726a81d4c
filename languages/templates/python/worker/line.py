"""What the worker says."""


def line(beat: int) -> str:
    return f"beat {beat}"
