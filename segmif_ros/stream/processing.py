# SPDX-License-Identifier: Apache-2.0
"""The work on one pair, or on one frame where the other camera is missing: decode, gain, register, engine, filter.

No thread, no queue: the offline replay runs it on every pair. A pair that can't be processed costs that pair: it is
refused with a reason, and the next one may be fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segmif_ros.arrays import Array
from segmif_ros.imaging.compressed import CompressedBuffer, decompress
from segmif_ros.imaging.crop import Crop
from segmif_ros.imaging.encodings import (
    MAX_PIXELS,
    EncodingError,
    ImageBuffer,
    ImageTooLargeError,
    is_pseudo_coloured,
    require_pixels,
    to_infrared,
    to_rgb,
)
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.imaging.missing import missing_infrared, missing_rgb
from segmif_ros.paths import one_line
from segmif_ros.rig.errors import RegistrationError, UncalibratedError
from segmif_ros.rig.registration import (
    Registered,
    Registration,
    RegistrationConfig,
    lower_confidence,
    stretch_note,
)
from segmif_ros.rig.registration_modes import AnyRegistration
from segmif_ros.stream.single_camera import CameraReport, Moment

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol, EngineResult
    from segmif_ros.stream.temporal import TemporalFilter

Clock = Callable[[], int]
_LONGEST = 500  # characters of a line
_SPOKEN = {"infrared": "infrared", "rgb": "RGB"}


class PairRefusedError(Exception):
    """A pair that can't be processed.

    Attributes:
        reason: One of `segmif_ros.stream.statistics.DROP_REASONS`.
    """

    def __init__(self, reason: str, line: str) -> None:
        super().__init__(_short(line))  # it may quote what a stranger has sent
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class DecodeConfig:
    """How images are taken.

    Attributes:
        infrared_crop: What is cut off infrared images: rows of telemetry.
        max_pixels: Larger images are refused before anything is made of them.
    """

    infrared_crop: Crop = field(default_factory=Crop)
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One image as it arrived.

    Attributes:
        stamp_ns: When it was taken, from its header.
        frame_id: From its header.
        image: Its bytes, not decoded yet.
    """

    stamp_ns: int
    frame_id: str
    image: ImageBuffer | CompressedBuffer


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """A processed pair, or one processed frame.

    Attributes:
        infrared: The infrared frame; None if the result rests on RGB alone.
        rgb: The RGB frame; None if the result rests on infrared alone.
        master: Its stamp and frame_id are those of the outputs. The master camera's frame; where that is missing, the
            other one's with the stamp on the master's clock and, as the view is the master's, the master's frame_id.
        offset_ns: Infrared stamp minus RGB stamp, after the time offset was taken off.
        registered: What the engine got.
        result: The engine's, with the confidence lowered where only the master camera sees, and while one is missing.
        engine: The one that it is from.
        cameras: Which cameras the result rests on, and what they are like.
        stage_ms: Milliseconds by stage: "decode", "gain", "register" if there is anything to do, the engine's own, and
            "temporal" if that is on.
    """

    infrared: Frame | None
    rgb: Frame | None
    master: Frame
    offset_ns: int
    registered: Registered
    result: EngineResult
    engine: EngineProtocol
    stage_ms: dict[str, float]
    cameras: CameraReport = field(default_factory=CameraReport)


class PairProcessor:
    """The work on one pair; its parts can be replaced between two pairs.

    Attributes:
        engine: As given.
        gain: As given.
        registration: As given.
        decoding: As given.
        stretched: What is wrong with the proportions of the last pair's images, see
            `segmif_ros.rig.registration.stretch_note`.

    Args:
        engine: Anything that keeps `segmif_ros.inference.engine.EngineProtocol`.
        gain: The infrared camera's.
        registration: Brings both images to one view and size; the view's camera is the master. None: both are so.
        now_ns: A clock that never steps back, for the stage times.
        notice: Takes a kind and a line, once for each kind.
        decoding: What is cut off images, and how large they may be.
        temporal: Steadies the labels over time; None leaves each frame as it is.
        single_confidence: Factor of the confidence while a camera ("infrared" or "rgb") is alone; for those left out,
            what was calibrated for the weights.
    """

    def __init__(
        self,
        engine: EngineProtocol,
        *,
        gain: ThermalGain,
        now_ns: Clock,
        registration: AnyRegistration | None = None,
        notice: Callable[[str, str], None] = lambda _kind, _line: None,
        decoding: DecodeConfig | None = None,
        temporal: TemporalFilter | None = None,
        single_confidence: Mapping[str, float] | None = None,
    ) -> None:
        self.engine = engine
        self.gain = gain
        self.decoding = decoding or DecodeConfig()
        self.temporal = temporal
        self.single_confidence = dict(single_confidence or {})
        # of the frames seen last: what a camera's view is like, for when it is missing
        self._sizes: dict[str, tuple[int, int]] = {}
        self._frame_ids: dict[str, str] = {}
        self.registration = registration or Registration(RegistrationConfig())
        self.stretched: str | None = None
        self._now_ns = now_ns
        self._notice = notice

    def process(self, moment: Moment[Frame]) -> Output:
        """Process a pair, or one frame.

        Returns:
            The results, with the time of each stage.

        Raises:
            PairRefusedError: If it can't be processed, whatever the cause; the next one may be.
        """
        stage_ms: dict[str, float] = {}
        engine, registration = self.engine, self.registration
        with self._timed(stage_ms, "decode"):
            images = self.decode(moment)
        work = "gain"
        try:
            if moment.infrared is not None:
                with self._timed(stage_ms, "gain"):
                    images["infrared"] = self.gain.apply(images["infrared"], moment.infrared.stamp_ns)
            work = "registration"
            with self._timed(stage_ms, "register"):
                registered = self._registered(images, moment.stamp_ns)
            work = "engine"
            if registration.config.mode == "none":
                del stage_ms["register"]
            result = engine.infer(np.ascontiguousarray(registered.infrared), np.ascontiguousarray(registered.rgb))
            work = "engine's answer"
            alone = "" if len(images) == 2 else next(iter(images))
            result = self._finished(result, registered, moment, alone, stage_ms)
        except RegistrationError as error:
            reason = "uncalibrated" if isinstance(error, UncalibratedError) else "size"
            raise PairRefusedError(reason, f"pair dropped: {error}") from error
        except Exception as error:  # whatever the model raises must cost this pair only; the cause is kept
            raise PairRefusedError("error", f"pair dropped, the {work} failed: {in_one_line(error)}") from error
        return Output(
            infrared=moment.infrared,
            rgb=moment.rgb,
            master=self._master(moment),
            offset_ns=moment.offset_ns,
            registered=registered,
            result=result,
            engine=engine,
            cameras=moment.cameras,
            stage_ms={**stage_ms, **result.stage_ms},
        )

    def decode(self, moment: Moment[Frame]) -> dict[str, Array]:
        """Return the images as the cameras sent them, infrared cropped, without those that are missing.

        Returns:
            "infrared": (H, W) uint8, uint16 or float32; "rgb": (H', W', 3) uint8 RGB.

        Raises:
            PairRefusedError: If a frame can't be decoded.
        """
        frames = {"infrared": moment.infrared, "rgb": moment.rgb}
        return {camera: self._decoded(camera, frame) for camera, frame in frames.items() if frame is not None}

    def _finished(
        self,
        result: EngineResult,
        registered: Registered,
        moment: Moment[Frame],
        alone: str,
        stage_ms: dict[str, float],
    ) -> EngineResult:
        """Steady the labels, lower the confidence, and show the camera that is ``alone`` as it is."""
        if alone:  # the fusion with a constant is no picture for people
            living = registered.rgb if alone == "rgb" else np.repeat(registered.infrared[..., None], 3, axis=2)
            result = replace(result, fused=living)
        if self.temporal is not None:
            with self._timed(stage_ms, "temporal"):
                labels, confidence = self.temporal.apply(
                    result.labels, result.confidence, result.fused, moment.stamp_ns, (self.engine.model_hash, alone)
                )
            result = replace(result, labels=labels, confidence=confidence)
        if not alone and registered.valid is None:
            return result
        return replace(result, confidence=self._confidence(result.confidence, registered.valid, alone))

    def _registered(self, images: dict[str, Array], stamp_ns: int) -> Registered:
        """Bring the images to the master's view; a missing one is what the network was trained with in its place."""
        view = self.registration.config.view
        for camera, image in images.items():
            self._sizes[camera] = image.shape[0], image.shape[1]
        if len(images) == 2:
            infrared, rgb = images["infrared"], images["rgb"]
            registered = self.registration.apply(infrared, rgb, stamp_ns)
            self.stretched = stretch_note(self.registration.config, infrared.shape[1::-1], rgb.shape[1::-1])
            if self.stretched:
                self._notice("proportions", self.stretched)
            return registered
        ((camera, image),) = images.items()
        if camera == view or view not in self._sizes:  # no other view than its own is known
            height, width = image.shape[:2]
            if camera == "rgb":
                return Registered(infrared=missing_infrared(height, width), rgb=image)
            return Registered(infrared=image, rgb=missing_rgb(height, width))
        if camera == "rgb":
            warped = self.registration.apply(missing_infrared(*self._sizes["infrared"]), image)
            return replace(warped, infrared=missing_infrared(*warped.infrared.shape))
        return self.registration.apply(image, missing_rgb(*self._sizes["rgb"]))

    def _master(self, moment: Moment[Frame]) -> Frame:
        """Return the frame whose header the outputs carry."""
        view = self.registration.config.view
        frames = {"infrared": moment.infrared, "rgb": moment.rgb}
        master = frames[view]
        if master is not None:
            self._frame_ids[view] = master.frame_id
            return master
        other = frames["rgb" if view == "infrared" else "infrared"]
        assert other is not None
        return replace(other, stamp_ns=moment.stamp_ns, frame_id=self._frame_ids.get(view, other.frame_id))

    def _confidence(self, confidence: Array, valid: Array | None, alone: str) -> Array:
        """Lower the confidence where one camera doesn't see, or is missing."""
        if not alone:
            return lower_confidence(confidence, valid)
        factor = self.single_confidence.get(alone, 0.0)
        if not factor:
            from segmif_ros.inference.single_confidence import single_confidence  # torch comes with it

            factor = single_confidence(self.engine.model_hash, alone)
        lowered = cv2.LUT(confidence, (np.arange(256) * factor).astype(np.uint8))
        # in the master's view, where the one that lives sees nothing, there is only a constant
        return np.asarray(lowered if valid is None else np.where(valid, lowered, 0), np.uint8)

    def _decoded(self, camera: str, frame: Frame) -> Array:
        try:
            image = opened(frame.image, self.decoding.max_pixels)
            if camera == "infrared" and is_pseudo_coloured(image):
                self._notice(
                    "pseudo-colour",
                    f"infrared comes as {image.encoding}: a palette's luminance is used, which is not temperature; "
                    "have the camera driver publish mono8 or mono16",
                )
            return self.decoding.infrared_crop.apply(to_infrared(image)) if camera == "infrared" else to_rgb(image)
        except EncodingError as error:
            reason = "size" if isinstance(error, ImageTooLargeError) else "undecodable"
            raise PairRefusedError(reason, f"pair dropped, {_SPOKEN[camera]} frame: {error}") from error
        except Exception as error:  # a defect in a decoder must cost this pair only, too; the cause is kept
            line = f"pair dropped, {_SPOKEN[camera]} frame: {in_one_line(error)}"
            raise PairRefusedError("undecodable", line) from error

    @contextmanager
    def _timed(self, stage_ms: dict[str, float], stage: str) -> Iterator[None]:
        started_ns = self._now_ns()
        yield
        stage_ms[stage] = 1e-6 * (self._now_ns() - started_ns)


def opened(image: ImageBuffer | CompressedBuffer, max_pixels: int = MAX_PIXELS) -> ImageBuffer:
    """Return an image, decompressed if it was compressed.

    Args:
        image: As it arrived.
        max_pixels: How many are allowed.

    Raises:
        EncodingError: If it can't be decompressed.
        ImageTooLargeError: If it has more than ``max_pixels``.
    """
    if isinstance(image, CompressedBuffer):
        return decompress(image, max_pixels)
    require_pixels(image.width, image.height, max_pixels)
    return image


def in_one_line(error: Exception) -> str:
    """Return an exception as one line."""
    text = _short(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(text: str) -> str:
    """Return a text as one line of a length that a person reads."""
    line = one_line(text[: 4 * _LONGEST], 4 * _LONGEST)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
