# SPDX-License-Identifier: Apache-2.0
"""The planner's grid of a replayed drive: poses from the bag, grids into the bag of outputs, figures against truth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.bag.grid_messages import (
    OCCUPANCY_GRID,
    ODOMETRY,
    TF_MESSAGE,
    RecordedGrid,
    grid_message,
    grid_of,
    odometry_of,
    transforms_of,
)
from segmif_ros.bag.messages import SEMANTIC_MAP, header_of, typestore
from segmif_ros.bag.reading import Bag, BagError
from segmif_ros.evaluation.ground.ground_page import COLUMNS, shown
from segmif_ros.evaluation.ground.scores import Cells, GroundScores, visible
from segmif_ros.evaluation.report_types import GridSection, MoreSections, Report, ReportTable
from segmif_ros.grid.config import GridConfig
from segmif_ros.grid.costs import default_costs_file, read_costs
from segmif_ros.grid.errors import GridError, TransformError
from segmif_ros.grid.mapper import GroundMapper, LabelFrame
from segmif_ros.grid.poses import CameraMount, TransformBuffer
from segmif_ros.grid.rolling import GridMap
from segmif_ros.rig.camera_model import CameraModel, camera_from_info
from segmif_ros.rig.errors import CalibrationError
from segmif_ros.settings import part

TOPICS = ("/grid/cost", "/grid/classes", "/grid/confidence")
TRUTH_TOPIC = "/ground_truth/grid"
GRID_FILE = "grid.json"
_BLOCKED, _FREE = 100, 0
_FOR_EVER_S = 1e6  # poses of a whole bag are kept


@dataclass(frozen=True, kw_only=True)
class GridReplayConfig:
    """How to make the grid of a bag.

    Attributes:
        camera: Its place on the robot; a height of 0 takes it from tf.
        odom_topic: Of the odometry; tf is read too.
        base_frame: Of the robot.
        odom_frame: Of the grid.
        costs: YAML file; empty takes the package's.
        grid: Size and memory of the grid.
    """

    camera: CameraMount = part(CameraMount, prefix="camera_")
    odom_topic: str = "/odom"
    base_frame: str = "base_link"
    odom_frame: str = "odom"
    costs: str = ""
    grid: GridConfig = field(default_factory=lambda: GridConfig(size_m=44.0))

    def as_values(self) -> dict[str, Any]:
        """Return what the grids depend on, as JSON values."""
        values = {f"grid_{name}": value for name, value in asdict(self).items() if name not in ("grid", "camera")}
        mount = {f"grid_camera_{name}": value for name, value in asdict(self.camera).items()}
        return mount | values | {f"grid_{name}": value for name, value in asdict(self.grid).items()}


@dataclass(frozen=True, kw_only=True, eq=False)
class Serialized:
    """A message for the bag of outputs."""

    topic: str
    message_type: str
    raw: memoryview


class GridReplay:
    """Makes grids of semantic maps, in order.

    Args:
        bag: Holds camera_info and poses, and maybe /ground_truth/grid.
        master: Camera whose view the maps have.
        config: How.

    Raises:
        BagError: If the bag lacks what a grid needs; one line.
    """

    def __init__(self, bag: Bag, master: str, config: GridReplayConfig) -> None:
        self._bag, self._config = bag, config
        self._camera = _camera(bag, master)
        self._buffer = TransformBuffer(keep_s=_FOR_EVER_S, wait_s=0.2)
        poses = self._read_poses()
        if not poses:
            raise BagError(
                f"{bag.path}: --grid needs the robot's poses, and there are none on {config.odom_topic} or /tf: record "
                "them too, or name the topic with --odom-topic"
            )
        self._truth = {each.stamp_ns: each for each in map(grid_of, self._messages(TRUTH_TOPIC, OCCUPANCY_GRID))}
        self._scores = GroundScores()
        self._mapper: GroundMapper | None = None
        self._made = self._judged = 0
        self._refused: dict[str, int] = {}

    def grids(self, raw: bytes | memoryview) -> Iterator[Serialized]:
        """Yield what a serialized semantic map becomes; nothing if its pose isn't known."""
        message: Any = typestore().deserialize_cdr(raw, SEMANTIC_MAP)
        stamp_ns, frame_id = header_of(raw)
        config = self._config
        try:
            mount = self._mount(frame_id, stamp_ns)
            base = self._buffer.lookup(config.odom_frame, config.base_frame, stamp_ns)
            mapper = self._mapper_for(tuple(each.name for each in message.classes))
            shape = message.height, message.width
            labels, confidence = (
                np.asarray(each, np.uint8).reshape(shape) for each in (message.labels, message.confidence)
            )
            mapper.add(LabelFrame(labels=labels, confidence=confidence, stamp_ns=stamp_ns), self._camera, mount, base)
        except GridError as error:
            kind = error.kind if isinstance(error, TransformError) else str(error)
            self._refused[kind] = self._refused.get(kind, 0) + 1
            return
        grid = mapper.map()
        self._made += 1
        if stamp_ns in self._truth:
            self._scores.add(self._cells(grid, base, mount, self._truth[stamp_ns]))
            self._judged += 1
        for topic, values in zip(TOPICS, (grid.cost, grid.classes, grid.confidence), strict=True):
            cells = grid_message(values, grid.square, stamp_ns, config.odom_frame)
            yield Serialized(topic=topic, message_type=OCCUPANCY_GRID, raw=cells)

    def figures(self) -> GridSection:
        """Return counts, and the figures against the truth where there is one."""
        return {
            "grids": self._made,
            "left_out": self._refused,
            "judged": self._judged,
            "figures": self._scores.figures() if self._judged else None,
        }

    def _mapper_for(self, names: tuple[str, ...]) -> GroundMapper:
        if self._mapper is None or self._mapper.table.names != names:
            costs = Path(self._config.costs).expanduser() if self._config.costs else default_costs_file()
            self._mapper = GroundMapper(self._config.grid, read_costs(costs), names)
        return self._mapper

    def _mount(self, frame_id: str, stamp_ns: int) -> Float64Array:
        config = self._config
        if config.camera.height_m:
            return config.camera.pose()
        return self._buffer.lookup(config.base_frame, frame_id, stamp_ns)

    def _messages(self, topic: str, message_type: str) -> Iterator[bytes]:
        found = [each for each in self._bag.reader.connections if (each.topic, each.msgtype) == (topic, message_type)]
        if found:
            for _, _, raw in self._bag.reader.messages(found):
                yield raw

    def _read_poses(self) -> int:
        """Fill the buffer; return how many moving poses there were."""
        moving = 0
        for topic, fixed in (("/tf_static", True), ("/tf", False)):
            for raw in self._messages(topic, TF_MESSAGE):
                for stamp_ns, parent, child, matrix in transforms_of(raw):
                    self._buffer.put(parent, child, stamp_ns, matrix, fixed=fixed)
                    moving += not fixed
        for raw in self._messages(self._config.odom_topic, ODOMETRY):
            stamp_ns, parent, child, matrix = odometry_of(raw)
            self._buffer.put(parent, child or self._config.base_frame, stamp_ns, matrix)
            moving += 1
        return moving

    def _cells(self, grid: GridMap, base: Float64Array, mount: Float64Array, truth: RecordedGrid) -> Cells:
        """Return a grid beside the truth, looked up at the grid's cells."""
        x, y = grid.square.centres()
        i, j = (np.floor((each - at) / truth.cell_m).astype(int) for each, at in ((x, truth.x_m), (y, truth.y_m)))
        rows, columns = truth.cells.shape
        inside = ((i >= 0) & (i < columns))[None, :] & ((j >= 0) & (j < rows))[:, None]
        there = truth.cells[np.clip(j, 0, rows - 1)[:, None], np.clip(i, 0, columns - 1)[None, :]]
        camera = base @ mount
        ahead = np.arctan2(camera[1, 2], camera[0, 2])
        east, north = np.meshgrid(x - camera[0, 3], y - camera[1, 3])
        bearing = (np.arctan2(north, east) - ahead + np.pi) % (2 * np.pi) - np.pi
        half = np.arctan(0.5 * self._camera.width / self._camera.K[0, 0])
        range_m = np.hypot(east, north).astype(np.float32)
        occupied, in_view = inside & (there == _BLOCKED), inside & (np.abs(bearing) < half)
        return Cells(
            cost=grid.cost,
            obstacle=grid.obstacle,
            free=inside & (there == _FREE),
            occupied=occupied,
            seen=visible(occupied & in_view, range_m, bearing),
            range_m=range_m,
            bearing_rad=bearing.astype(np.float32),
            in_view=in_view,
            cell_m=grid.square.cell_m,
        )


def _camera(bag: Bag, master: str) -> CameraModel:
    info = bag.camera_info(master)
    if info is None:
        raise BagError(
            f"{bag.path}: --grid needs a calibrated camera, and no camera_info lies beside {master}'s images"
        )
    info.pop("frame_id", None)
    names = ("width", "height", "distortion_model", "d", "k", "r", "p")
    try:
        return camera_from_info(**{name: info[name] for name in names})
    except CalibrationError as error:
        raise BagError(f"{bag.path}: camera_info of {master}: {error}") from error


def grid_section(out: Path) -> MoreSections:
    """Return the report's part about the grids of a replay that has written its outputs to ``out``."""
    found = json.loads((out / GRID_FILE).read_text(encoding="utf-8"))
    rows = [["grids", str(found["grids"])]]
    rows += [[f"left out: {reason}", str(count)] for reason, count in found["left_out"].items()]
    rows += [["compared with ground truth", str(found["judged"])]]
    tables: list[ReportTable] = [{"title": "Planner's grid", "columns": ["", "bag"], "rows": rows}]
    if found["figures"]:
        bands = found["figures"]["bands"]
        tables.append(
            {
                "title": "Planner's grid against ground truth",
                "columns": ["", *bands],
                "rows": [
                    [title, *(shown(band[key], share) for band in bands.values())]
                    for key, (title, share) in COLUMNS.items()
                ],
                "note": "Shares in percent; docs/grid.md defines them.",
            }
        )
    return {"grid": found, "tables": tables}


def grid_lines(report: Report) -> list[str]:
    """Return what a replay's report holds about its grids, for the terminal."""
    grid = report.get("grid")
    if not grid:
        return []
    lines = [f"grid: {grid['grids']} grids, {sum(grid['left_out'].values())} maps left out"]
    for band, values in (grid["figures"] or {"bands": {}})["bands"].items():
        figures = ", ".join(
            f"{COLUMNS[key][0]} {shown(values[key], COLUMNS[key][1])}"
            for key in ("iou_free", "iou_occupied", "false_free")
        )
        lines.append(f"grid, {band}: {figures} %")
    return lines
