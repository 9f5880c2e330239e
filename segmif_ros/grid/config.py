# SPDX-License-Identifier: Apache-2.0
"""The settings of a grid, with what each means."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.grid.errors import GridError

MAX_CELLS = 2_000


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The settings of `segmif_ros.grid.mapper.GroundMapper`.

    Attributes:
        size_m: Length of the square's sides; the robot is in its middle.
        cell_m: Length of a cell's sides.
        max_range_m: How far from the camera evidence is taken.
        ground_z_m: Height of the ground in the base frame.
        pitch_error_deg: Standard deviation of the camera's pitch against the ground; errors grow with it.
        min_confidence: Ground pixels of less confidence say nothing, 0 to 1.
        gain: Share of a frame's log odds that counts for ground, because frames repeat each other's errors, 0 to 1.
        object_gain: The same for obstacles; higher, so that what comes into view counts at once.
        min_evidence: Log odds in a cell before it is known.
        memory_s: Time constant of forgetting what isn't seen.
        movable_memory_s: The same for classes that move.
        min_object_px: Rows that an object must have above its foot.
        clearance_m: Points higher than that over the ground are no obstacles; with depth only.
        step_m: Points lower than that over the ground are ground; with depth only.

    Raises:
        GridError: Values that make no grid.
    """

    size_m: float = 20.0
    cell_m: float = 0.1
    max_range_m: float = 20.0
    ground_z_m: float = 0.0
    pitch_error_deg: float = 0.3
    min_confidence: float = 0.5
    gain: float = 0.3
    object_gain: float = 0.8
    min_evidence: float = 0.8
    memory_s: float = 20.0
    movable_memory_s: float = 1.5
    min_object_px: int = 3
    clearance_m: float = 2.0
    step_m: float = 0.2

    def __post_init__(self) -> None:
        for name in ("size_m", "cell_m", "max_range_m", "memory_s", "movable_memory_s", "min_evidence", "clearance_m"):
            if not getattr(self, name) > 0:
                raise GridError(f"{name} is {getattr(self, name):g}: a number over 0 is needed")
        for name in ("min_confidence", "gain", "object_gain"):
            if not 0 <= getattr(self, name) <= 1:
                raise GridError(f"{name} is {getattr(self, name):g}: allowed is 0 to 1")
        if not 4 <= self.cells <= MAX_CELLS:
            raise GridError(
                f"size_m {self.size_m:g} of cells of {self.cell_m:g} m makes {self.cells} cells a side: allowed is 4 "
                f"to {MAX_CELLS}"
            )

    @property
    def cells(self) -> int:
        """Cells along each side."""
        return round(self.size_m / self.cell_m)
