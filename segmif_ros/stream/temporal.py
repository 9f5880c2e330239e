# SPDX-License-Identifier: Apache-2.0
"""Steady labels: what a surface was called before counts as evidence for what it is called now.

Each pixel keeps the class that it is called and the evidence for it. From frame to frame both are carried along by
dense optical flow (DIS: Kroeger et al., ECCV 2016; OpenCV's) of the fused image's luma at low resolution. A frame that
says the same class adds its evidence, one that says another takes a share of its own away, and a class is given up when
nothing is left: so a class that was seen once stays against a single frame (hysteresis). Evidence is the cube of the
confidence, because what flickers is where the network is unsure: edges, and what is far. Where the flow there and the
flow back don't agree, or the appearance doesn't, little evidence is carried along: enough against a frame that is
unsure, too little against one that is sure. Where they don't agree at all, as at the edge of what moves by, there is
none: a crossing person leaves no ghost. Classes of which there is little in the frame, as of persons and poles, are
believed sooner than they are given up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from segmif_ros.arrays import Float32Array, Float64Array, Image
from segmif_ros.imaging.histogram import byte_counts

# from the stamps of two frames and (height, width): the (3, 3) homography from pixels of the second to the first, by
# how the camera turned between them; None where that isn't known
Turn = Callable[[int, int, tuple[int, int]], "Float64Array | None"]

NS_PER_S = 1_000_000_000

_FLOW_WIDTH = 320  # of the image that the flow is computed on, about; a whole fraction of the image's width
_MIN_SIDE = 16  # DIS needs a patch of 8 pixels and some more
_LONGEST_GAP_NS = NS_PER_S // 2  # between two frames that show the same
_NEIGHBOURS = np.ones((3, 3), np.uint8)  # of a pixel that doesn't hold: the flow's edges lie beside the true ones
_NO_MAP = np.zeros(0, np.float32)  # x and y are in one map
_SURENESS = 3  # power of the confidence that counts as evidence
_CUT_SHARE = 0.6  # of pixels that don't hold: another scene
_HOPELESS = 2.0  # times ``appearance`` or ``flow_px``
_EAGER_UNIT = 16  # of a factor in 8 bit
_LITTLE_SHARE = 0.02  # of the pixels, below which there is little of a class


@dataclass(frozen=True, kw_only=True)
class TemporalConfig:
    """How much the past counts.

    Attributes:
        frames: Frames of full confidence that a pixel remembers at most.
        contrary: Share of its evidence that a frame takes away from another class.
        eager: How many times as much it takes away where it shows a class of which there is little.
        appearance: Difference of luma, in grey levels, from which it is doubtful that a pixel is the one it was.
        contrast: Share of the contrast with a pixel's neighbours that such a difference may have beyond that.
        flow_px: Difference between the flow there and back, in pixels of the small image, from which it is doubtful.
        doubtful: Evidence that is left where it is, in frames of full confidence; where it is twice as doubtful, none.
    """

    frames: float = 3.0
    contrary: float = 0.5
    eager: float = 4.0
    appearance: float = 25.0
    contrast: float = 0.1
    flow_px: float = 1.5
    doubtful: float = 0.2


class TemporalFilter:
    """Steadies the labels of consecutive frames of one view; not thread-safe.

    Args:
        config: How much the past counts.
        turn: How the camera turned, where something tells. The flow then starts from there and follows the rest: what
            the turn is too fast for, and what the robot's way and moving things add.
    """

    def __init__(self, config: TemporalConfig | None = None, turn: Turn | None = None) -> None:
        self._config = config or TemporalConfig()
        self._turn = turn
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        worth = 255 * (np.arange(256) / 255) ** _SURENESS / self._config.frames
        # of a confidence, for its class and against others
        self._for = np.rint(worth).clip(1, 255).astype(np.uint8)
        self._against = np.ceil(self._config.contrary * worth).clip(1, 255).astype(np.uint8)
        self._grid: Float32Array = np.zeros((0, 0, 2), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._small: Image | None = None
        self._state: Image | None = None  # (H, W, 3): class, evidence, confidence
        self._stamp_ns = 0
        self._about: object = None

    def apply(
        self, labels: Image, confidence: Image, fused: Image, stamp_ns: int, about: object = None
    ) -> tuple[Image, Image]:
        """Return labels and confidence of a frame, steadied: (H, W) uint8 each.

        Args:
            labels: (H, W) uint8 class ids.
            confidence: (H, W) uint8, 0..255.
            fused: (H, W, 3) uint8 RGB.
            stamp_ns: Of the frame; after a step back, or a gap of more than half a second, the past is forgotten.
            about: What the labels mean and rest on; where it isn't equal to the last frame's, the past is forgotten.
        """
        height, width = labels.shape
        shrink = max(1, round(width / _FLOW_WIDTH))
        size = max(_MIN_SIDE, width // shrink), max(_MIN_SIDE, height // shrink)
        small = np.asarray(
            cv2.cvtColor(cv2.resize(fused, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.uint8
        )
        evidence = np.asarray(cv2.LUT(confidence, self._for), np.uint8)
        if not 0 < stamp_ns - self._stamp_ns <= _LONGEST_GAP_NS or about != self._about:
            self._state = None
        turned = None
        if self._turn is not None and self._state is not None:
            turned = self._turn(self._stamp_ns, stamp_ns, (height, width))
        carried = self._carried(small, (height, width), turned)
        if carried is None:
            state = cv2.merge([labels, evidence, confidence])
        else:
            against = self._taken_away(labels, confidence)
            state = _voted(labels, evidence, against, confidence, carried)
            labels, confidence = (np.asarray(cv2.extractChannel(state, i), np.uint8) for i in (0, 2))
        self._small, self._state, self._stamp_ns, self._about = small, np.asarray(state, np.uint8), stamp_ns, about
        return labels, confidence

    def _taken_away(self, labels: Image, confidence: Image) -> Image:
        """Return the evidence that this frame takes away from other classes than its own, (H, W)."""
        against = cv2.LUT(confidence, self._against)
        counts = byte_counts(labels)
        eager = np.where(counts < _LITTLE_SHARE * labels.size, self._config.eager, 1.0)
        factor = cv2.LUT(labels, np.rint(_EAGER_UNIT * eager).clip(1, 255).astype(np.uint8))
        return np.asarray(cv2.multiply(against, factor, scale=1 / _EAGER_UNIT), np.uint8)

    def _carried(self, small: Image, shape: tuple[int, int], turned: Float64Array | None) -> Image | None:
        """Return the state (H, W, 3) where each pixel was before, its evidence 0 where that isn't known.

        None if nothing is known of the past.
        """
        before, state = self._small, self._state
        if before is None or state is None or before.shape != small.shape or state.shape[:2] != shape:
            return None
        if self._grid.shape[:2] != small.shape:
            x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in small.shape[::-1]))
            self._grid = np.dstack([x, y])
        # pixels of the small image to pixels of the large one, centre on centre
        across, down = shape[1] / small.shape[1], shape[0] / small.shape[0]
        enlarged = np.array([[across, 0, 0.5 * across - 0.5], [0, down, 0.5 * down - 0.5]])
        if turned is not None:
            scale = np.vstack([enlarged, [0, 0, 1]])
            turned = np.linalg.inv(scale) @ turned @ scale
            where = np.asarray(cv2.perspectiveTransform(self._grid, turned), np.float32)
            before = np.asarray(
                cv2.remap(before, where, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
            )
        nothing = np.zeros((*small.shape, 2), np.float32)
        flow = np.asarray(self._flow.calc(small, before, nothing.copy()), np.float32)
        back = np.asarray(self._flow.calc(before, small, nothing), np.float32)
        there = np.asarray(cv2.add(self._grid, flow), np.float32)
        most = self._most(small, before, flow, back, there)
        if np.mean(most == 255) < 1 - _CUT_SHARE:
            return None
        most = np.asarray(cv2.erode(most, _NEIGHBOURS), np.uint8)
        if turned is not None:
            there = np.asarray(cv2.perspectiveTransform(there, turned), np.float32)
            most = np.minimum(most, _inside(there))
        large = cv2.transform(there, enlarged)
        large = cv2.resize(large, shape[::-1], interpolation=cv2.INTER_LINEAR)
        carried = cv2.remap(state, large, _NO_MAP, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        kept = cv2.min(cv2.extractChannel(carried, 1), cv2.resize(most, shape[::-1], interpolation=cv2.INTER_NEAREST))
        return np.asarray(cv2.insertChannel(kept, carried, 1), np.uint8)

    def _most(self, small: Image, before: Image, flow: Float32Array, back: Float32Array, there: Float32Array) -> Image:
        """Return the evidence that each pixel of the small image may carry along at most, (H, W)."""
        config = self._config
        seen = cv2.remap(before, there, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        gone = cv2.remap(back, there, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        x, y = cv2.split(cv2.add(flow, gone))
        contrast = cv2.subtract(cv2.dilate(small, _NEIGHBOURS), cv2.erode(small, _NEIGHBOURS))
        unlike = cv2.addWeighted(
            cv2.absdiff(small, seen), 1 / config.appearance, contrast, -config.contrast / config.appearance, 0, None,
            cv2.CV_32F,
        )  # fmt: skip
        # the worst of them, in units of ``flow_px``
        doubt = np.maximum(np.maximum(np.abs(x), np.abs(y)), unlike * np.float32(config.flow_px))
        little = min(255, max(1, round(255 * config.doubtful / config.frames)))
        most = np.minimum(cv2.inRange(doubt, -1e9, _HOPELESS * config.flow_px), np.uint8(little))
        most = cv2.min(cv2.max(most, cv2.inRange(doubt, -1e9, config.flow_px)), _inside(there))
        return np.asarray(most, np.uint8)


def _inside(places: Float32Array) -> Image:
    """Return 255 where a place (H, W, 2) of an image of that size lies in it, else 0."""
    height, width = places.shape[:2]
    return np.asarray(cv2.inRange(places, (0.0, 0.0), (width - 1.0, height - 1.0)), np.uint8)


def _voted(labels: Image, evidence: Image, against: Image, confidence: Image, carried: Image) -> cv2.typing.MatLike:
    """Return the state (H, W, 3) after a frame, from the state that was carried along to it."""
    kept, held, believed = cv2.split(carried)
    same = cv2.compare(kept, labels, cv2.CMP_EQ)
    less = cv2.subtract(held, against)
    # given up: another class, and nothing left
    given_up = cv2.bitwise_and(cv2.bitwise_not(same), cv2.compare(less, np.zeros_like(less), cv2.CMP_EQ))
    held = cv2.copyTo(cv2.add(held, evidence), same, less)
    # how sure: the mean of before and what this frame leaves for the class that is kept
    leaves = cv2.copyTo(confidence, same, cv2.bitwise_not(confidence))
    known = cv2.compare(held, evidence, cv2.CMP_GT)
    believed = cv2.copyTo(cv2.addWeighted(believed, 0.5, leaves, 0.5, 0), known, leaves)
    return cv2.merge(
        [
            cv2.copyTo(labels, given_up, kept),
            cv2.copyTo(evidence, given_up, held),
            cv2.copyTo(confidence, given_up, believed),
        ]
    )
