# SPDX-License-Identifier: Apache-2.0
"""The work on one pair: decode, gain, register, engine. No thread, no queue: the offline replay runs it on every pair.

A pair that can't be processed costs that pair: it is refused with a reason, and the next one may be fine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

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
from segmif_ros.rig.errors import RegistrationError, UncalibratedError
from segmif_ros.rig.registration import (
    Registered,
    Registration,
    RegistrationConfig,
    Unregistered,
    lower_confidence,
    stretch_note,
)
from segmif_ros.stream.pairing import Pair

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.inference.engine import EngineProtocol, EngineResult

Array = npt.NDArray[Any]
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
        stamp_ns: When it was taken, as its header says.
        frame_id: As its header says.
        image: Its bytes, not decoded yet.
    """

    stamp_ns: int
    frame_id: str
    image: ImageBuffer | CompressedBuffer


@dataclass(frozen=True, kw_only=True, eq=False)
class Output:
    """A processed pair.

    Attributes:
        infrared: The infrared frame.
        rgb: The RGB frame.
        master: The one of the two whose header the outputs carry, as they have its view.
        offset_ns: Infrared stamp minus RGB stamp, after the time offset was taken off.
        registered: What the engine got.
        result: The engine's, with the confidence lowered where only the master camera sees.
        engine: The one that it is from.
        stage_ms: Milliseconds by stage: "decode", "gain", "register" if there is anything to do, and the engine's own.
    """

    infrared: Frame
    rgb: Frame
    master: Frame
    offset_ns: int
    registered: Registered
    result: EngineResult
    engine: EngineProtocol
    stage_ms: dict[str, float]


class PairProcessor:
    """The work on one pair; its parts can be replaced between two pairs.

    Attributes:
        engine: As given.
        gain: As given.
        registration: As given.
        decoding: As given.

    Args:
        engine: Anything that keeps `segmif_ros.inference.engine.EngineProtocol`.
        gain: The infrared camera's.
        registration: Brings both images to one view and size; the view's camera is the master. None: both are so.
        now_ns: A clock that never steps back, for the stage times.
        notice: Takes a kind and a line, once for each kind.
        decoding: What is cut off images, and how large they may be.
    """

    def __init__(
        self,
        engine: EngineProtocol,
        *,
        gain: ThermalGain,
        now_ns: Clock,
        registration: Registration | Unregistered | None = None,
        notice: Callable[[str, str], None] = lambda _kind, _line: None,
        decoding: DecodeConfig | None = None,
    ) -> None:
        self.engine = engine
        self.gain = gain
        self.decoding = decoding or DecodeConfig()
        self.registration = registration or Registration(RegistrationConfig())
        self._now_ns = now_ns
        self._notice = notice

    def process(self, pair: Pair[Frame]) -> Output:
        """Process one pair.

        Raises:
            PairRefusedError: If it can't be processed, whatever the cause; the next one may be.
        """
        stage_ms: dict[str, float] = {}
        engine, registration = self.engine, self.registration
        with self._timed(stage_ms, "decode"):
            infrared, rgb = self.decode(pair)
        work = "gain"
        try:
            with self._timed(stage_ms, "gain"):
                infrared = self.gain.apply(infrared, pair.infrared.stamp_ns)
            work = "registration"
            with self._timed(stage_ms, "register"):
                registered = registration.apply(infrared, rgb)
                if line := stretch_note(registration.config, infrared.shape[1::-1], rgb.shape[1::-1]):
                    self._notice("proportions", line)
            work = "engine"
            if registration.config.mode == "none":
                del stage_ms["register"]
            result = engine.infer(np.ascontiguousarray(registered.infrared), np.ascontiguousarray(registered.rgb))
        except RegistrationError as error:
            reason = "uncalibrated" if isinstance(error, UncalibratedError) else "size"
            raise PairRefusedError(reason, f"pair dropped: {error}") from error
        except Exception as error:  # whatever the model raises must cost this pair only; the cause is kept
            raise PairRefusedError("error", f"pair dropped, the {work} failed: {in_one_line(error)}") from error
        if registered.valid is not None:
            result = replace(result, confidence=lower_confidence(result.confidence, registered.valid))
        return Output(
            infrared=pair.infrared,
            rgb=pair.rgb,
            master=pair.infrared if registration.config.view == "infrared" else pair.rgb,
            offset_ns=pair.offset_ns,
            registered=registered,
            result=result,
            engine=engine,
            stage_ms={**stage_ms, **result.stage_ms},
        )

    def decode(self, pair: Pair[Frame]) -> tuple[Array, Array]:
        """Return infrared (H, W) uint8, uint16 or float32, cropped, and RGB (H', W', 3) uint8 as the cameras sent them.

        Raises:
            PairRefusedError: If a frame can't be decoded.
        """
        return self._decoded("infrared", pair.infrared), self._decoded("rgb", pair.rgb)

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
    line = " ".join(text[: 4 * _LONGEST].split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
