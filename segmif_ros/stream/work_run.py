# SPDX-License-Identifier: Apache-2.0
"""What belongs to one start of a pipeline."""

from __future__ import annotations

import threading

from segmif_ros.stream.processing import Frame
from segmif_ros.stream.single_camera import Moment
from segmif_ros.stream.slot import LatestSlot


class WorkRun:
    """The time from a start to a stop: its newest pair, its worker, and the state of the work."""

    def __init__(self) -> None:
        self.slot: LatestSlot[tuple[Moment[Frame], int]] = LatestSlot()
        self.worker: threading.Thread | None = None
        self.abandoned = False  # what is still in work is not to be delivered any more
        self.busy_since_ns: int | None = None

    def busy(self) -> bool:
        """Whether the worker's thread is alive."""
        return self.worker is not None and self.worker.is_alive()
