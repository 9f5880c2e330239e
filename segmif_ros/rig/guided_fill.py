# SPDX-License-Identifier: Apache-2.0
"""What stands in where one camera sees nothing: the content of places like it, that both cameras see.

The view's own image and the distances are known there. So each gap takes the weighted mean of pixels around it, in
growing rings, that lie at about its distance and look alike: a joint bilateral filter (Petschnigg et al., 2004) with
the view's image and nearness as its guides. It is computed at a small size: fills are smooth.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Array, Float32Array, Image, Mask

WIDTH_PX = 192
_LEVELS = 25.0  # grey levels that look alike
_NEARNESS = 0.3  # relative difference of nearness that counts as one distance
_FARTHEST = 0.02  # 1/m that differences are relative to, at least
_REACH_PX = 15.0  # at the small size, over which the weight falls to a third
_LEAST = 1e-6  # weight of all neighbours, below which there is nothing like it
_RADII_PX = (1, 2, 4, 7, 12, 20, 32, 48)
_WAYS = 12


def _ring_offsets() -> npt.NDArray[np.int32]:
    """Return (N, 2) places (u, v) around a pixel; each ring is turned against the one before."""
    angles = 2 * np.pi * (np.arange(_WAYS)[None, :] + 0.5 * np.arange(len(_RADII_PX))[:, None]) / _WAYS
    places = np.array(_RADII_PX)[:, None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.unique(np.rint(places).reshape(-1, 2).astype(np.int32), axis=0)


_OFFSETS = _ring_offsets()
_FALL = np.exp(-np.hypot(*_OFFSETS.T) / _REACH_PX).astype(np.float32)


def fill_alike(warped: Image, unseen: Mask, guide: Image, nearness: Float32Array) -> None:
    """Fill an image where it has no content from where it has, in place; what nothing is like stays as it is.

    Args:
        warped: (H, W) or (H, W, 3), of the other camera.
        unseen: (H, W), where it has none.
        guide: (H, W) or (H, W, 3), of the view's camera.
        nearness: (H, W), 1/m.
    """
    height, width = unseen.shape
    shrink = max(1.0, width / WIDTH_PX)
    size = max(1, round(width / shrink)), max(1, round(height / shrink))
    seen = (~unseen).astype(np.float32)
    share = _to(seen, size)
    known = share > 0.5
    layers = warped.reshape(height, width, -1)
    # the mean of what is seen of each small pixel
    content = _to(layers * seen[..., None], size).reshape(size[1], size[0], -1) / np.maximum(share, 1e-3)[..., None]
    small = _to(guide, size).reshape(size[1], size[0], -1)
    near = _to(nearness, size)
    v, u = np.nonzero(share < 1.0)
    at_v, at_u = v[:, None] + _OFFSETS[:, 1], u[:, None] + _OFFSETS[:, 0]
    inside = (at_v >= 0) & (at_v < size[1]) & (at_u >= 0) & (at_u < size[0])
    at = np.clip(at_v, 0, size[1] - 1) * size[0] + np.clip(at_u, 0, size[0] - 1)
    usable = inside & known.reshape(-1)[at]
    flat_guide, flat_near = small.reshape(-1, small.shape[-1]), near.reshape(-1)
    here = v * size[0] + u
    unlike = ((flat_guide[at] - flat_guide[here][:, None]) ** 2).mean(axis=-1) / _LEVELS**2
    nearest = np.maximum(flat_near[at], flat_near[here][:, None]) + _FARTHEST
    apart = (flat_near[at] - flat_near[here][:, None]) / (_NEARNESS * nearest)
    weight = usable * _FALL * np.exp(-0.5 * (unlike + apart * apart))
    total = weight.sum(axis=1)
    values = np.einsum("nk,nkc->nc", weight, content.reshape(-1, content.shape[-1])[at])
    found = total > _LEAST
    content[v[found], u[found]] = values[found] / total[found][:, None]
    known[v[found], u[found]] = True
    filled = np.asarray(cv2.resize(content.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR))
    have = cv2.resize(known.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    take = unseen & have
    warped[take] = np.clip(np.rint(filled.reshape(height, width, -1)[take]), 0, 255).reshape(warped[take].shape)


def _to(image: Array, size: tuple[int, int]) -> Float32Array:
    return np.asarray(cv2.resize(np.asarray(image, np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
