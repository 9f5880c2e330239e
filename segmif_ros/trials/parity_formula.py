# SPDX-License-Identifier: Apache-2.0
"""The formula that defines a parity case: its weights, images and labels, from SHA-256 and splitmix64 alone."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segmif_ros.model.encoder import MINIMUM_SIDE
from segmif_ros.trials.parity_options import TAG

_SMALL = re.compile(
    r"((patch_embed[1-4]\.(proj|norm)|attn\.(sr|proj)|mlp\.fc2|conv1_(ir|vis)|end_proj\d|cross\.norm\d|linear_fuse\.conv)"
    r"\.(weight|bias)|(Dcov\d|DRDB\d\.conv)\.bias|bn\.running_mean)$"
)
_NAME = re.compile(r"(b[0-5])_(\d{1,3})_(\d{1,4})x(\d{1,4})(?:_(sharp|small))?")


@dataclass(frozen=True, kw_only=True)
class ParityCase:
    """One case: sizes of model and image, and how the weights are drawn.

    Attributes:
        encoder: 'mit_b0' .. 'mit_b5'.
        num_classes: K.
        height: rows of the images.
        width: columns of the images.
        cross_gain: factor on the interaction's key and value weights; 0.1 makes its softmax nearly one-hot.
        small: shrink the signals before the normalisations to the size of their eps, so that a wrong eps shows.
    """

    encoder: str
    num_classes: int
    height: int
    width: int
    cross_gain: float = 0.03
    small: bool = False

    @classmethod
    def from_name(cls, name: str) -> "ParityCase":
        """Case of a file name without its suffix, like 'b3_9_96x128' or 'b0_15_64x96_small'.

        Raises:
            ValueError: not such a name, or the image is too small.
        """
        match = _NAME.fullmatch(name)
        if match is None or min(int(match[3]), int(match[4])) < MINIMUM_SIDE or int(match[2]) < 1:
            raise ValueError(
                f"'{name}' is no name of a case: expected b0..b5, classes, HEIGHTxWIDTH (29 or more) and perhaps "
                f"'sharp' or 'small', like b0_15_64x96_small"
            )
        return cls(
            encoder=f"mit_{match[1]}",
            num_classes=int(match[2]),
            height=int(match[3]),
            width=int(match[4]),
            cross_gain=0.1 if match[5] == "sharp" else 0.03,
            small=match[5] == "small",
        )


def seed(text: str) -> int:
    """First 8 bytes of SHA-256 of the text, little endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def words(state: int, count: int) -> np.ndarray:
    """The first `count` words (uint64) of the splitmix64 generator for a 64-bit state."""
    z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def weight(network: str, key: str, shape: Sequence[int], case: ParityCase, tag: str = TAG) -> np.ndarray:
    """Weights of one state-dict entry.

    Args:
        network: 'fusion' or 'seg'.
        key: as in the authors' checkpoint of that network.
        shape: of the entry.
        case: whose gain and smallness apply.
        tag: of the set of vectors.

    Returns:
        float32 of that shape (int64 for `num_batches_tracked`).
    """
    last = key.rpartition(".")[2]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if last == "running_var":
        centre, half_width = 1.0, 0.5
    elif last == "running_mean":
        centre, half_width = 0.0, 0.1
    elif len(shape) >= 2:
        gain = case.cross_gain if ".cross_attn" in key else 1.4 if ".Dcov" in key else 1.0
        centre, half_width = 0.0, gain * np.sqrt(3 / np.prod(shape[1:]))
    elif key == "conv22.bias":
        centre, half_width = 0.9, 0.1
    elif key == "relu.weight":
        centre, half_width = 0.25, 0.05
    elif last == "weight":
        centre, half_width = 1.0, 0.2
    else:
        centre, half_width = 0.0, 0.1
    drawn = words(seed(f"{tag}/{network}/{key}"), int(np.prod(shape))) >> np.uint64(11)
    values = centre + half_width * (drawn.astype(np.float64) * 2.0**-52 - 1)
    if case.small and _SMALL.search(key):
        values *= 0.003
    if case.small and key.endswith("bn.running_var"):
        values *= 1e-5
    return values.astype(np.float32).reshape(shape)


def image(name: str, planes: int, height: int, width: int, tag: str = TAG) -> np.ndarray:
    """Integer image (planes, height, width) uint8: 8x8 blocks with a texture of a quarter of their contrast."""
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = words(seed(f"{tag}/image/{name}/blocks"), planes * rows * columns).reshape(planes, rows, columns)
    texture = words(seed(f"{tag}/image/{name}/texture"), planes * height * width).reshape(planes, height, width)
    enlarged = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width] % 256
    return ((3 * enlarged + texture % 256) // 4).astype(np.uint8)


def labels(num_classes: int, height: int, width: int, tag: str = TAG) -> np.ndarray:
    """Label image (height, width) uint8 of 8x8 blocks; 255 is ignored."""
    rows, columns = -(-height // 8), -(-width // 8)
    ids = words(seed(f"{tag}/label"), rows * columns) % (num_classes + 1)
    ids[ids == num_classes] = 255
    return ids.astype(np.uint8).reshape(rows, columns).repeat(8, axis=0).repeat(8, axis=1)[:height, :width]
