# SPDX-License-Identifier: Apache-2.0
"""The fit of the scene method: all parts of the view together, each with as much as it tells.

A part's agreement at each displacement becomes a distribution over displacements. A wall with one straight edge tells
about one direction, a bare road nothing, a passing car the wrong thing. The parameters are found by
expectation-maximisation: the parts' displacements are those of the model with Gaussian noise, or anything. The noise is
narrowed step by step. Where the cameras' places are known, parts may also be nearer than infinity. A shift of all parts
looks like a turn, so how near things are in a drive is given, and only the rows of the view may differ from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array, Mask
from segmif_ros.rig.agreement import Surfaces

NEARNESS = np.array([0.0, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.4])  # 1/m, that parts of the view are tried at
_TYPICAL = 0.12  # 1/m, of what shows edges in a drive
_TYPICAL_PARTS = 2.0  # parts of one row that this counts for, beside those that are seen
_ANYTHING = 0.3  # share of parts that are expected to tell nothing
_ROUNDS = 8
_FLOOR = 0.25  # of the surface's own deviation, that a part's noise is at least


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """What a fit came to.

    Attributes:
        step: (P,) change of the parameters.
        trust: (T,) how surely each part follows the model, 0 to 1.
        off_px: (T, 2) where the parts' own displacement lies from the model's.
    """

    step: Float64Array
    trust: Float64Array
    off_px: Float64Array


def likelihoods(surfaces: Surfaces) -> Float64Array:
    """Return (T, S, S) distributions over displacements from the (F, T, S, S) agreements of all frames."""
    frames, tiles = surfaces.shape[:2]
    mean = surfaces.mean(axis=0).reshape(tiles, -1).astype(np.float64)
    # how much the mean over frames scatters; a camera that stands still shows one view again and again
    noise2 = surfaces.var(axis=0).reshape(tiles, -1).mean(axis=1) / frames
    noise = np.sqrt(noise2 + (_FLOOR * mean.std(axis=1)) ** 2) + 1e-9
    height = (mean - mean.max(axis=1, keepdims=True)) / noise[:, None]
    found = np.exp(height)
    return np.asarray(found / found.sum(axis=1, keepdims=True)).reshape(tiles, *surfaces.shape[2:])


def fit(
    chances: Float64Array,
    slopes: Float64Array,
    parameters: Float64Array,
    deviations: Float64Array,
    used: Mask,
    *,
    noises_px: Sequence[float],
    nearer: Float64Array | None = None,
    rows: npt.NDArray[np.int64] | None = None,
) -> Fitted:
    """Return the change of parameters that the parts' displacements ask for.

    Args:
        chances: (T, S, S) of `likelihoods`.
        slopes: (T, 2, P) displacement of each part with each parameter.
        parameters: (P,) before the change.
        deviations: (P,) how far parameters are expected from 0.
        used: (T,) whether the infrared image covers the part.
        noises_px: Deviations of the parts' displacements, one after the other.
        nearer: (K, T, 2) displacement of each part at each of `NEARNESS`; None: all is far.
        rows: (T,) the row of the view that each part is in: a street is about as near all along a row. None: one row.
    """
    tiles, side = chances.shape[:2]
    reach = side // 2
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    at = np.stack([u.ravel(), v.ravel()], axis=1)
    flat = chances.reshape(tiles, -1) * used[:, None]
    moves = np.zeros((1, tiles, 2)) if nearer is None else nearer
    typical = np.ones(1) if nearer is None else np.gradient(NEARNESS) * np.exp(-NEARNESS / _TYPICAL)
    typical /= typical.sum()
    _, row_of = np.unique(np.zeros(tiles) if rows is None else rows, return_inverse=True)
    shares = np.repeat(typical[:, None], tiles, axis=1)
    lost = _ANYTHING / at.shape[0] * flat.sum(axis=1)
    step = np.zeros(parameters.size)
    prior = 1.0 / deviations**2
    trust, mean = np.zeros(tiles), np.zeros((tiles, 2))
    for noise_px in noises_px:
        for _ in range(_ROUNDS):
            middle = slopes @ step
            at_each, summed = np.zeros((len(moves), tiles)), np.zeros((tiles, 2))
            for k, move in enumerate(moves):
                # a Gaussian about a point is a product of one for each direction
                across = np.exp(-0.5 * ((np.arange(-reach, reach + 1) - (middle + move)[..., None]) / noise_px) ** 2)
                near = (across[:, 1, :, None] * across[:, 0, None, :]).reshape(tiles, -1)
                mass = flat * near * ((1 - _ANYTHING) * shares[k] / (2 * np.pi * noise_px**2))[:, None]
                at_each[k] = mass.sum(axis=1)
                summed += mass @ at - at_each[k][:, None] * move
            total = at_each.sum(axis=0)
            mean = summed / np.maximum(total, 1e-12)[:, None]
            trust = np.where(used, total / np.maximum(total + lost, 1e-12), 0.0)
            pull = trust / noise_px**2
            left = np.einsum("t,tkp,tkq->pq", pull, slopes, slopes) + np.diag(prior)
            right = np.einsum("t,tkp,tk->p", pull, slopes, mean) - prior * parameters
            step = np.linalg.solve(left, right)
            seen = at_each / np.maximum(total + lost, 1e-12)
            in_row = np.stack([np.bincount(row_of, weights=each) for each in seen]) + _TYPICAL_PARTS * typical[:, None]
            shares = (in_row / in_row.sum(axis=0))[:, row_of]
    return Fitted(
        step=step,
        trust=trust,
        off_px=np.asarray(mean - slopes @ step),
    )
