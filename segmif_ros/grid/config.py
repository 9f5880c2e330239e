# SPDX-License-Identifier: Apache-2.0
"""The settings of a grid, with what each means."""

from __future__ import annotations

from dataclasses import dataclass

from segmif_ros.grid.errors import GridError
from segmif_ros.settings import setting

MAX_CELLS = 2_000


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The settings of `segmif_ros.grid.mapper.GroundMapper`; those without a description are for experiments.

    Attributes:
        gain: Share of a frame's log odds that counts for ground, because frames repeat each other's errors, 0 to 1.
        object_gain: The same for obstacles; higher, so that what comes into view counts at once.
        min_evidence: Log odds in a cell before it is known.
        min_object_px: Rows that an object must have above its foot.
        clearance_m: Points higher than that over the ground are no obstacles; with depth only.
        step_m: Points lower than that over the ground are ground; with depth only.

    Raises:
        GridError: Values that make no grid.
    """

    size_m: float = setting(
        20.0,
        "Length of the grid's sides in metres; the robot is in the middle.",
        minimum=1.0,
        maximum=200.0,
    )
    cell_m: float = setting(0.1, "Length of a cell's sides in metres.", minimum=0.01, maximum=5.0)
    max_range_m: float = setting(
        20.0,
        "How far from the camera anything is taken for known, in metres.",
        minimum=0.5,
        maximum=200.0,
    )
    ground_z_m: float = setting(
        0.0,
        "Height of the ground in base_frame, in metres.",
        minimum=-5.0,
        maximum=5.0,
    )
    pitch_error_deg: float = setting(
        0.3,
        "Standard deviation of the camera's pitch against the ground in degrees, from its mounting and from driving: "
        "what is farther away counts for less, and obstacles get longer along their ray.",
        minimum=0.0,
        maximum=10.0,
    )
    min_confidence: float = setting(
        0.5,
        "Ground pixels of less confidence make no cell free.",
        minimum=0.0,
        maximum=1.0,
    )
    memory_s: float = setting(
        20.0,
        "Time constant in seconds at which what isn't seen any more is forgotten.",
        minimum=0.1,
        maximum=3600.0,
    )
    movable_memory_s: float = setting(1.5, "The same for classes that move.", minimum=0.1, maximum=3600.0)
    gain: float = 0.3
    object_gain: float = 0.8
    min_evidence: float = 0.8
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
