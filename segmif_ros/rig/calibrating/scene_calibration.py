# SPDX-License-Identifier: Apache-2.0
"""Calibration without a board: how the images lie on each other, from the edges that both show while the robot moves.

From coarse to fine. First one similarity for the whole view: scale, roll and shift. Then parts of the view, more and
smaller ones at each stage, to which a homography with a lens is fitted, or a rotation where both cameras are known
(`segmif_ros.rig.calibrating.scene_fit`). Frames and parts are drawn again and again with replacement to see how far the
answer can be trusted. Where it can't, there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmif_ros.arrays import Float64Array
from segmif_ros.rig.agreement import Surfaces, make_tiles, peak
from segmif_ros.rig.calibrating.scene_fit import NEARNESS, Fitted, fit, likelihoods
from segmif_ros.rig.calibrating.scene_frames import ComparedPairs, Pair
from segmif_ros.rig.calibrating.scene_models import (
    HomographyModel,
    RotationModel,
    SceneModel,
    displacements,
    parallax,
)
from segmif_ros.rig.calibration import RigCalibration
from segmif_ros.rig.camera_model import CameraModel
from segmif_ros.rig.errors import CalibrationError

MIN_FRAMES = 8
MAX_FRAMES = 40
ACCEPT_PX = 1.5  # mean over the view, RGB pixels
COMMON = 2.0  # how much larger the error is than the scatter of frames and parts, which err alike
_TYPICAL_OFF = 0.015  # 1/m, by which a drive's nearness may differ from the typical one that a rotation counts on
_MISFIT = 0.8  # share of the parts' own displacements that is error; the rest is the noise of their peaks
TO_SPARE = 1.25  # the error may be so many times the expected one: one rig in ten is worse
MIN_SHARPNESS = 4.5  # of the coarse similarity
_MIRRORED = 1.3  # how much further a mirrored similarity must stand out than the straight one
MIN_TILES = 12  # of 80, that infrared covers
MIN_TRUST = 0.6  # share of them that follow the model
_TRUSTED = 0.5  # from which on a part does
MIN_AGREEING = 0.75  # share of the frames whose whole view agrees best where the model puts it
MIN_LENS = 0.004  # strength below which there is none: a pixel or two in the corners
MIN_LENS_DEVIATIONS = 3.0

Stage = tuple[int, int, int, tuple[float, ...]]

# rows, columns, reach in fine pixels, and noise of the tiles' displacements
_STAGES: tuple[Stage, ...] = (
    (4, 5, 14, (5.0, 4.0, 3.0, 2.0)),
    (6, 8, 10, (3.0, 2.0, 1.5)),
    (8, 10, 7, (2.0, 1.5, 1.0, 0.7)),
    (8, 10, 6, (1.5, 1.0, 0.7, 0.5)),
)
_REDRAWS = 24


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneResult:
    """How the images lie on each other.

    Attributes:
        calibration: A homography, or cameras and extrinsics.
        deviation_px: Mean standard deviation over the view of where infrared content is put, RGB pixels.
        expected_px: Mean error to expect over the view, RGB pixels: with what frames have in common, and for a
            homography with what near and far parts are displaced by. `TO_SPARE` times it is accepted.
        covariance: Of the fitted parameters, see `segmif_ros.rig.calibrating.scene_models`; of a rotation, rad^2.
        tiles: How many tiles speak.
        frames: How many frames agree with it.
        frames_given: How many were compared.
    """

    calibration: RigCalibration
    deviation_px: float
    expected_px: float
    covariance: Float64Array
    tiles: int
    frames: int
    frames_given: int

    @property
    def verdict(self) -> str:
        """One line."""
        word = "good" if self.expected_px < 0.8 else "fair"
        all_of_them = "" if self.frames == self.frames_given else f" of {self.frames_given}"
        seen = f"{self.tiles} parts of the view in {self.frames}{all_of_them} frames"
        return f"{word}: {self.expected_px:.1f} px to be expected, from {seen}"


def calibrate_scene(
    pairs: Sequence[Pair],
    *,
    cameras: tuple[CameraModel, CameraModel] | None = None,
    translation_m: Float64Array | None = None,
    fov_ratio: float | None = None,
    accept_px: float = ACCEPT_PX,
) -> SceneResult:
    """Return how two cameras lie on each other, from what both see.

    Args:
        pairs: (H, W) infrared of any type and (H', W', 3) RGB, of one size each, of different views.
        cameras: The infrared and the RGB camera where they are calibrated: then the rotation between them is found,
            else a homography.
        translation_m: (3,) position of the infrared camera in the RGB camera's frame, measured with a ruler; for
            ``cameras``. None: 0.
        fov_ratio: The infrared camera's field of view by the RGB camera's, as a guess; None: looked for.
        accept_px: Mean error, RGB pixels, that must not be exceeded; `TO_SPARE` times the expected one is held
            against it.

    Raises:
        CalibrationError: If the images don't tell; one line with what to do.
    """
    if len(pairs) < MIN_FRAMES:
        raise CalibrationError(
            f"{len(pairs)} different views: {MIN_FRAMES} at least are needed, 30 are good; record while driving"
        )
    chosen = [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, MAX_FRAMES).round().astype(int))]
    frames = ComparedPairs(chosen)
    sizes = frames.compared_infrared, frames.size
    if cameras is not None:
        search = _Search(frames, RotationModel(*cameras, *sizes, translation_m))
        parameters, found = search.refine(np.zeros(3), _STAGES)
    else:
        search, parameters, found = _homography(frames, fov_ratio)
    if search.used.sum() < MIN_TILES:
        raise CalibrationError(_unsure("infrared covers too little of the RGB view"))
    if cameras is None:
        agree = frames.agreeing(search.model, parameters)
        if agree.sum() < max(MIN_FRAMES, MIN_AGREEING * len(chosen)):
            said = f"only {agree.sum()} of {len(chosen)} frames agree with one homography"
            raise _no_agreement(frames, fov_ratio, said)
        if not agree.all():  # as where something near fills the view
            frames = frames.part(agree)
            search = _Search(frames, search.model)
            parameters, found = search.refine(parameters, _STAGES[-2:])
    drawn = search.redrawn()
    trusted, used = found.trust.sum(), search.used.sum()
    if trusted < MIN_TRUST * used:
        raise CalibrationError(_unsure(f"only {trusted:.0f} of {used} parts of the view agree"))
    deviation_px = frames.scale * search.deviation(parameters, drawn)
    misfit_px = frames.scale * search.misfit(found) if cameras is None else 0.0
    common_px = COMMON * deviation_px
    if search.model.translation:
        common_px = float(np.hypot(deviation_px, frames.scale * search.parallax_px(parameters, _TYPICAL_OFF)))
    expected_px = float(common_px + _MISFIT * misfit_px)
    at_most_px = TO_SPARE * expected_px
    if not np.isfinite(expected_px) or TO_SPARE * common_px > accept_px:
        raise CalibrationError(_unsure(f"it may be off by {TO_SPARE * common_px:.1f} px"))
    if at_most_px > accept_px:
        raise CalibrationError(
            f"no homography is sure to fit the view to {accept_px:g} px: it may be off by {at_most_px:.1f} px: near "
            "parts against far ones, or too few views; calibrate each camera with a board, and give the file with "
            "--known, or allow more with --accept-px"
        )
    return SceneResult(
        calibration=search.model.calibration(parameters, frames.infrared_size, frames.rgb_size),
        deviation_px=deviation_px,
        expected_px=expected_px,
        covariance=np.atleast_2d(np.cov(drawn.T)),
        tiles=int(np.sum(found.trust > _TRUSTED)),
        frames=len(frames),
        frames_given=len(chosen),
    )


def _homography(frames: ComparedPairs, fov_ratio: float | None) -> tuple[_Search, Float64Array, Fitted]:
    sizes = frames.compared_infrared, frames.size
    model = HomographyModel(*sizes)
    sharpness, parameters = frames.similarity(model, fov_ratio)
    if sharpness < MIN_SHARPNESS:
        raise _no_agreement(frames, fov_ratio, "the two views have too little in common")
    search = _Search(frames, model)
    parameters, found = search.refine(parameters, _STAGES)
    if abs(parameters[8]) < max(MIN_LENS, MIN_LENS_DEVIATIONS * search.redrawn()[:, 8].std()):
        search = _Search(frames, HomographyModel(*sizes, lens=False))
        parameters, found = search.refine(parameters[:8], _STAGES[-2:])
    return search, parameters, found


class _Search:
    """The stages of the fit, and how much its answer scatters."""

    def __init__(self, frames: ComparedPairs, model: SceneModel) -> None:
        self.model, self.used = model, np.zeros(0, np.bool_)
        self._frames = frames
        self._surfaces: Surfaces = np.zeros((0, 0, 0, 0), np.float32)
        self._slopes = np.zeros((0, 2, 0))
        self._middles, self._rows = np.zeros((0, 2)), np.zeros(0, np.int64)
        self._nearer: Float64Array | None = None
        self._before = np.zeros(0)
        self._noises: tuple[float, ...] = (1.0,)

    def refine(
        self, parameters: Float64Array, stages: Sequence[tuple[int, int, int, tuple[float, ...]]]
    ) -> tuple[Float64Array, Fitted]:
        """Return the parameters after all stages, and what the last one came to."""
        for rows, columns, reach, noises in stages:
            tiles = make_tiles(*self._frames.size, rows, columns)
            self._surfaces, self.used = self._frames.surfaces(self.model, parameters, tiles, reach)
            self._middles, self._rows = np.array([each.centre for each in tiles]), np.repeat(np.arange(rows), columns)
            self._slopes = displacements(self.model, parameters, self._middles)
            self._nearer = None
            if self.model.translation:
                moves = np.stack([parallax(self.model, parameters, self._middles, each) for each in NEARNESS])
                self._nearer = np.where(np.isfinite(moves), moves, 1e3)
            self._before, self._noises = parameters, noises
            found = self._fit(self._surfaces, slice(None))
            parameters = parameters + found.step
        return parameters, found

    def redrawn(self) -> Float64Array:
        """Return (R, P) parameters that other frames and parts of the view like these would have led to."""
        rng, drawn = np.random.default_rng(0), []
        used = np.flatnonzero(self.used)
        for _ in range(_REDRAWS):
            frames = rng.integers(0, len(self._surfaces), len(self._surfaces))
            parts = rng.choice(used, used.size)
            drawn.append(self._before + self._fit(self._surfaces[frames][:, parts], parts).step)
        return np.stack(drawn)

    def deviation(self, parameters: Float64Array, drawn: Float64Array) -> float:
        """Return the mean over the view of the standard deviation of where points go, in fine pixels."""
        width, height = self._frames.size
        u, v = np.meshgrid(np.linspace(0, width - 1, 7), np.linspace(0, height - 1, 5))
        slopes = displacements(self.model, parameters, np.stack([u.ravel(), v.ravel()], axis=1))
        at = self.model.pixels(parameters, np.stack([u.ravel(), v.ravel()], axis=1))
        inside = ((at >= 0) & (at <= np.array(self.model.infrared_size) - 1)).all(axis=1)
        moved = slopes[inside] @ (drawn - parameters).T
        return float(np.sqrt((moved**2).sum(axis=1).mean(axis=1)).mean())

    def parallax_px(self, parameters: Float64Array, nearness: float) -> float:
        """Return by how much things so near are displaced against far ones, on the mean, in fine pixels."""
        moved = parallax(self.model, parameters, self._middles[self.used], nearness)
        return float(np.hypot(*moved.T).mean())

    def misfit(self, found: Fitted) -> float:
        """Return how far the parts' own displacements are from the model's, the median part, in fine pixels."""
        own = np.array([peak(each)[:2] for each in self._surfaces.mean(axis=0)])
        off = np.hypot(*(own - self._slopes @ found.step).T)
        # the mean would be that of dark parts, whose peaks lie anywhere
        return float(np.median(off[found.trust > _TRUSTED]))

    def _fit(self, surfaces: Surfaces, parts: Float64Array | slice) -> Fitted:
        return fit(
            likelihoods(surfaces),
            self._slopes[parts],
            self._before,
            self.model.deviations,
            self.used[parts],
            noises_px=self._noises,
            nearer=None if self._nearer is None else self._nearer[:, parts],
            rows=self._rows[parts],
        )


def _no_agreement(frames: ComparedPairs, fov_ratio: float | None, why: str) -> CalibrationError:
    """Return what to say where frames don't agree: that one camera is mirrored, if then they do."""
    model = HomographyModel(frames.compared_infrared, frames.size)
    straight, mirrored = (each.similarity(model, fov_ratio)[0] for each in (frames, frames.mirrored()))
    if mirrored > max(MIN_SHARPNESS, _MIRRORED * straight):
        return CalibrationError(
            "one camera's images are mirrored (left and right exchanged): turn that off in its driver and record again"
        )
    return CalibrationError(_unsure(why))


def _unsure(why: str) -> str:
    return (
        f"the scene doesn't tell how the cameras lie on each other: {why}; record a drive past houses, poles and cars, "
        "by day or dusk, or use a board"
    )
