# SPDX-License-Identifier: Apache-2.0
"""`segmif_ros.load(...).predict(...)`: the path of the node for images at hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from segmif_ros.arrays import Image
from segmif_ros.imaging.encodings import buffer_of
from segmif_ros.imaging.gain import ThermalGain
from segmif_ros.imaging.overlay import OverlayConfig, draw_overlay
from segmif_ros.inference.engine import Engine, EngineConfig, EngineProtocol
from segmif_ros.inference.weights import DEFAULT_WEIGHTS, parse_weights, resolve_checkpoint
from segmif_ros.labels import LabelSet
from segmif_ros.predict.input_images import ImageError, ImageLike, infrared_image, rgb_image
from segmif_ros.predict.predict_options import OUTPUTS
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Frame, PairProcessor, PairRefusedError
from segmif_ros.stream.single_camera import Moment

if TYPE_CHECKING:
    from segmif_ros.model import SegMiF


@dataclass(frozen=True, kw_only=True, eq=False)
class Prediction:
    """What the network makes of one pair, in the view of the master camera (the RGB camera by default).

    Attributes:
        infrared: (H, W) uint8, after gain and registration: what the network saw.
        rgb: (H, W, 3) uint8, RGB order, likewise.
        fused: (H, W, 3) uint8, RGB order.
        labels: (H, W) uint8 class ids, see ``label_set``.
        confidence: (H, W) uint8, 255 times the softmax probability of the winning class.
        label_set: Names and colours of the classes.
        stage_ms: Milliseconds by stage.
    """

    infrared: Image
    rgb: Image
    fused: Image
    labels: Image
    confidence: Image
    label_set: LabelSet
    stage_ms: dict[str, float] = field(default_factory=dict)

    def overlay(self, alpha: float = OverlayConfig.alpha) -> Image:
        """Return the fused image under the classes' colours, (H, W, 3) uint8, RGB order."""
        return draw_overlay(self.fused, self.labels, self.label_set.palette, alpha=alpha)

    def colours(self) -> Image:
        """Return the classes' colours, (H, W, 3) uint8, RGB order."""
        return self.label_set.colourise(self.labels)

    def shares(self) -> dict[str, float]:
        """Return the share of the pixels by class name, the classes that are there, largest first."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.label_set)) / self.labels.size
        found = {name: float(share) for name, share in zip(self.label_set.names, counts, strict=False) if share}
        return dict(sorted(found.items(), key=lambda each: -each[1]))

    def save(self, folder: str | Path, name: str = "pair", outputs: Sequence[str] = OUTPUTS) -> list[Path]:
        """Write PNG files FOLDER/OUTPUT/NAME.png; folders are made.

        Args:
            folder: Where.
            name: Of each file, without suffix.
            outputs: Some of `OUTPUTS`; labels are class ids as they are, one byte a pixel.

        Returns:
            The files.

        Raises:
            ImageError: Another output, or a file can't be written.
        """
        if unknown := [each for each in outputs if each not in OUTPUTS]:
            raise ImageError(f"output '{unknown[0]}' is unknown: choose from {', '.join(OUTPUTS)}")
        written = []
        for output in outputs:
            image = getattr(self, output)
            image = image() if callable(image) else image
            path = Path(folder) / output / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            good, content = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
            if not good:
                raise ImageError(f"{path}: can't be encoded as PNG")
            path.write_bytes(content.tobytes())
            written.append(path)
        return written


class Model:
    """A network that takes images at hand; see `load`.

    Args:
        engine: Runs it.
        config: How images are prepared.
        weights: What it was loaded from.
    """

    def __init__(self, engine: EngineProtocol, config: PipelineConfig, weights: tuple[str, ...] = ()) -> None:
        self.engine = engine
        self._weights = weights
        self._processor = PairProcessor(
            engine,
            gain=ThermalGain(config.gain),
            now_ns=time.monotonic_ns,
            registration=config.make_registration(),
            decoding=config.decoding(),
        )

    def __repr__(self) -> str:
        """Say what it is and where it runs."""
        return f"<Model {self}>"

    def __str__(self) -> str:
        """Name it, its classes and where it runs."""
        engine = self.engine
        return (
            f"{engine.model_name} ({engine.model_hash}), {len(self.label_set)} classes of {self.label_set.name}, on "
            f"{engine.device_name} by {engine.backend_name} in {engine.precision}"
        )

    @property
    def label_set(self) -> LabelSet:
        """Names and colours of the classes."""
        return self.engine.label_set

    def predict(
        self, infrared: ImageLike, rgb: ImageLike, *, bgr: bool = False, stamp_s: float | None = None
    ) -> Prediction:
        """Process one pair.

        Args:
            infrared: A path or an array (H, W): uint8, or raw uint16 or float32, which goes through the gain.
            rgb: A path or an array (H, W, 3) uint8 in RGB order.
            bgr: Whether the array ``rgb`` is in OpenCV's order.
            stamp_s: When it was taken, for a video: the gain then follows the scene smoothly. None: a picture by
                itself, whose gain knows no other.

        Returns:
            The results, in the master camera's view.

        Raises:
            ImageError: An image that can't be used, or two that don't fit each other.
            DatasetError: A file can't be read.
        """
        if stamp_s is None:
            self._processor.gain.reset()
        stamp_ns = round(1e9 * (stamp_s or 0.0))
        frames = (
            Frame(stamp_ns=stamp_ns, frame_id=camera, image=buffer_of(image))
            for camera, image in (("infrared", infrared_image(infrared)), ("rgb", rgb_image(rgb, bgr=bgr)))
        )
        thermal, colour = frames
        try:
            output = self._processor.process(Moment(infrared=thermal, rgb=colour, stamp_ns=stamp_ns))
        except PairRefusedError as error:
            raise ImageError(_as_said_here(str(error))) from error
        result = output.result
        return Prediction(
            infrared=np.asarray(output.registered.infrared, np.uint8),
            rgb=np.asarray(output.registered.rgb, np.uint8),
            fused=result.fused,
            labels=result.labels,
            confidence=result.confidence,
            label_set=self.label_set,
            stage_ms=output.stage_ms,
        )

    __call__ = predict

    def module(self) -> SegMiF:
        """Return the weights as a plain `torch.nn.Module` on the CPU, in evaluation mode; see `SegMiF.forward`.

        Raises:
            WeightsError: They are a model folder.
        """
        from segmif_ros.model import load_checkpoint

        return load_checkpoint(resolve_checkpoint(self._weights))


def load(
    weights: str | Path | Sequence[str | Path] = DEFAULT_WEIGHTS,
    *,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "float32",
    num_threads: int = 0,
    palette: str = EngineConfig.palette,
    config: PipelineConfig | None = None,
) -> Model:
    """Load a network.

    Args:
        weights: A packaged name ("segmif-s", "segmif-rt"), a checkpoint's path, the authors' two paths (a tuple, or one
            string with a comma between), or a model folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        backend: "auto", "torch", "openvino", ...; see docs/performance.md.
        precision: "float32", "bfloat16", ...
        num_threads: On the CPU; 0 leaves the runtime's choice.
        palette: Colours of the classes: "dataset", or "robot", in which people stand out.
        config: Gain, registration and crop, as the node's parameters; None: 16-bit infrared through the gain
            "plateau", and both images registered and of one size.

    Returns:
        The model: call it, or its `predict`.

    Raises:
        EngineError: An option that isn't there.
        WeightsError: The weights aren't there.
        CheckpointError: They can't be used.
        LabelSetError: There is no such palette.
    """
    given = (weights,) if isinstance(weights, str | Path) else tuple(weights)
    names = tuple(part for each in given for part in parse_weights(str(each)))
    engine = Engine(
        EngineConfig(
            weights=names,
            device=device,
            backend=backend,
            precision=precision,
            num_threads=num_threads,
            palette=palette,
        )
    )
    return Model(engine, config or PipelineConfig(), names)


def _as_said_here(line: str) -> str:
    """A refusal without the node's words."""
    line = line.removeprefix("pair dropped: ").removeprefix("pair dropped, ")
    return line.replace("the parameter registration", "registration (with calibration_file; see docs/calibration.md)")
