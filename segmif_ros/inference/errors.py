# SPDX-License-Identifier: Apache-2.0
"""What an engine and its backends refuse."""


class EngineError(RuntimeError):
    """The engine can't be made or can't process this pair; one line with what, where and what to do."""


def first_line(text: object) -> str:
    """Return the first line of a text or an error, for a message; of an empty one the type's name."""
    lines = str(text).strip().splitlines()
    return lines[0] if lines else type(text).__name__
