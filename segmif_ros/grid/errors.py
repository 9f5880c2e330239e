# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a grid's inputs; every message is one line for the user."""


class GridError(ValueError):
    """A pose, camera, cost table or setting that no grid can be made from."""


class CostsError(GridError):
    """A cost table that can't be read."""


class TransformError(GridError):
    """A pose that isn't there: tf is missing, late, or of another time.

    Attributes:
        kind: "missing" (no such frame or no connection), "late" (newest is older than asked for) or "past" (asked for
            what the buffer has forgotten).
    """

    def __init__(self, kind: str, line: str) -> None:
        super().__init__(line)
        self.kind = kind
