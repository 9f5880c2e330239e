# SPDX-License-Identifier: Apache-2.0
"""Joint refinement of a rig: both cameras' intrinsics, the mounting and every pose of the board, at once.

OpenCV fits one camera, or the mounting of two fixed ones. Fitted one after the other, an error of a focal length is
made up for by a wrong mounting: right at the board's distance and wrong beyond. Fitted together, both cameras hold each
other.

Three things keep the lens from bending where no view holds it. Each number has a prior as wide as real lenses differ.
Terms of high order are used only where the views ask for them (Schwarz, "Estimating the dimension of a model", 1978).
Corners that lie off weigh little (Cauchy's weights). The covariance of all numbers comes with the fit, so that its
error can be stated for the whole view, also where there were no views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segmif_ros.arrays import Float64Array, Mask

_ROUNDS = 15
_REWEIGHTINGS = 3
_FIRST_DAMPING = 1e-3
_OUTLIER_SIGMAS = 3.0
_LEAST_SIGMA_PX = 0.02
# how far the numbers of real lenses lie from 0 (coefficients), from the middle (share of the width), and fx from fy
_PRIOR_D = {
    "plumb_bob": (0.5, 0.5, 0.005, 0.005, 0.3),
    "equidistant": (0.1, 0.1, 0.1, 0.1),
}
_PRIOR_CENTRE, _PRIOR_ASPECT = 0.04, 0.01
_HIGH_ORDER = {"plumb_bob": (4,), "equidistant": (2, 3)}  # coefficients that are 0 unless the views ask for them


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """A board in both images: (N, 3) points in its frame, and (N, 2) pixels in each; pose as (6,) turn and move.

    The pose takes the board to the RGB camera. Points that a camera doesn't see are not a number there.
    """

    points: Float64Array
    in_infrared: Float64Array
    in_rgb: Float64Array
    pose: Float64Array


@dataclass(frozen=True, kw_only=True, eq=False)
class Lens:
    """A camera in the fit.

    Attributes:
        model: "plumb_bob" or "equidistant".
        numbers: (4 + D,) fx, fy, cx, cy and the coefficients.
        size: (width, height) of its image.
        free: Whether its numbers may change.
    """

    model: str
    numbers: Float64Array
    size: tuple[int, int]
    free: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Refined:
    """A fit.

    Attributes:
        infrared: (4 + D,) fx, fy, cx, cy and coefficients.
        rgb: The same of the RGB camera.
        mount: (6,) turn and move that take RGB points to the infrared camera's frame.
        covariance: (P, P) of all three in a row; 0 for what was fixed.
        sigma_px: Standard deviation of a corner in the infrared and in the RGB image, each coordinate, by their spread.
    """

    infrared: Float64Array
    rgb: Float64Array
    mount: Float64Array
    covariance: Float64Array
    sigma_px: tuple[float, float]


def refine(sights: Sequence[Sight], infrared: Lens, rgb: Lens, mount: Float64Array) -> Refined:
    """Return both cameras' numbers and the mounting that put the points nearest to where they are.

    Args:
        sights: The views; those of one camera alone hold its lens.
        infrared: The infrared camera.
        rgb: The RGB camera.
        mount: (6,) turn and move that take RGB points to the infrared camera's frame.
    """
    fit = _Fit(sights, (infrared, rgb), mount)
    fit.solve()
    # a term that isn't needed costs certainty at the rim: the views must gain more by it than chance would
    for camera in range(2):
        terms = fit.high_order[camera]
        if not terms.size:
            continue
        before = fit.state()
        fit.movable[terms] = True
        fit.solve(reweight=False)
        if before[2] - fit.cost < terms.size * np.log(fit.count):
            fit.restore(before)
            fit.movable[terms] = False
    fit.solve()
    return fit.result()


class _Fit:
    """Levenberg and Marquardt's method on weighted residuals and priors."""

    def __init__(self, sights: Sequence[Sight], lenses: tuple[Lens, Lens], mount: Float64Array) -> None:
        self._sights, self._lenses = sights, lenses
        first, second = (lens.numbers.size for lens in lenses)
        self._parts = slice(0, first), slice(first, first + second), slice(first + second, first + second + 6)
        self.shared = np.concatenate([lenses[0].numbers, lenses[1].numbers, mount])
        self.poses = np.stack([sight.pose for sight in sights])
        self.cost = np.inf
        self.movable = np.ones(self.shared.size, bool)
        self.high_order: list[npt.NDArray[np.intp]] = []
        self._mean, self._precision = self.shared.copy(), np.zeros(self.shared.size)
        for lens, part in zip(lenses, self._parts[:2], strict=True):
            self._set_prior(lens, part)
        self._seen: list[tuple[Mask, Mask]] = [
            (
                np.asarray(np.isfinite(each.in_infrared).all(axis=1)),
                np.asarray(np.isfinite(each.in_rgb).all(axis=1)),
            )
            for each in sights
        ]
        self.count = 2 * int(sum(each.sum() for pair in self._seen for each in pair))
        self._weights = [(a.astype(np.float64), b.astype(np.float64)) for a, b in self._seen]
        self.sigma = np.ones(2)

    def _set_prior(self, lens: Lens, part: slice) -> None:
        at = part.start
        terms = np.array([4 + k for k in _HIGH_ORDER[lens.model] if 4 + k < lens.numbers.size], np.intp)
        unused = terms[lens.numbers[terms] == 0] if lens.free else terms[:0]
        self.high_order.append(at + unused)
        self.movable[part] = lens.free
        self.movable[at + unused] = False
        self._mean[at + 2 : at + 4] = 0.5 * (np.array(lens.size) - 1)
        self._precision[at + 2 : at + 4] = 1 / (_PRIOR_CENTRE * lens.size[0]) ** 2
        D = lens.numbers.size - 4
        self._mean[at + 4 : at + 4 + D] = 0
        self._precision[at + 4 : at + 4 + D] = 1 / np.array(_PRIOR_D[lens.model][:D]) ** 2

    def solve(self, *, reweight: bool = True) -> None:
        """Go to the least cost."""
        for _ in range(_REWEIGHTINGS if reweight else 1):
            if reweight:
                self._reweight()
            self._descend()

    def state(self) -> tuple[Float64Array, Float64Array, float]:
        """Return what `restore` takes back."""
        return self.shared.copy(), self.poses.copy(), self.cost

    def restore(self, state: tuple[Float64Array, Float64Array, float]) -> None:
        """Go back to an earlier state."""
        self.shared, self.poses, self.cost = state

    def result(self) -> Refined:
        """Return the fit with its covariance: the inverse of the normal equations, poses integrated out."""
        _, left, _ = self._equations()
        free = int(self.movable.sum())
        inverse = np.linalg.pinv(left, hermitian=True)[:free, :free]
        covariance = np.zeros((self.shared.size, self.shared.size))
        covariance[np.ix_(self.movable, self.movable)] = inverse
        a, b, m = (self.shared[part].copy() for part in self._parts)
        sigma = float(self.sigma[0]), float(self.sigma[1])
        return Refined(infrared=a, rgb=b, mount=m, covariance=covariance, sigma_px=sigma)

    def _descend(self) -> None:
        damping = _FIRST_DAMPING
        free = int(self.movable.sum())
        for _ in range(_ROUNDS):
            self.cost, left, right = self._equations()
            improved = False
            for _ in range(5):
                change = np.linalg.solve(left + damping * np.diag(np.diag(left) + 1e-12), right)
                shared, poses = self.shared.copy(), self.poses - change[free:].reshape(-1, 6)
                shared[self.movable] -= change[:free]
                if (new := self._cost_of(shared, poses)) < self.cost:
                    improved = new < self.cost - 1e-4
                    self.shared, self.poses, self.cost, damping = shared, poses, new, 0.3 * damping
                    break
                damping *= 6
            if not improved:
                break

    def _reweight(self) -> None:
        off = [self._project(i, self.shared, self.poses[i], want_jacobian=False)[0] for i in range(len(self._sights))]
        for camera in range(2):
            seen = [pair[camera] for pair in self._seen]
            norms = np.concatenate([np.hypot(*o[camera][s].T) for o, s in zip(off, seen, strict=True)])
            if norms.size:  # the median of a Rayleigh distribution is 1.1774 sigma
                self.sigma[camera] = max(float(np.median(norms)) / 1.1774, _LEAST_SIGMA_PX)
        self._weights = []
        for o, pair in zip(off, self._seen, strict=True):
            made = []
            for camera in range(2):
                by = np.hypot(*o[camera].T) / (_OUTLIER_SIGMAS * self.sigma[camera])
                made.append(pair[camera] / (1 + by**2) / self.sigma[camera] ** 2)
            self._weights.append((made[0], made[1]))

    def _cost_of(self, shared: Float64Array, poses: Float64Array) -> float:
        total = float(np.sum(self._precision * (shared - self._mean) ** 2)) + sum(
            a**2 for a, _ in self._aspects(shared)
        )
        for i, weights in enumerate(self._weights):
            off, _ = self._project(i, shared, poses[i], want_jacobian=False)
            total += sum(float(np.sum(w[:, None] * o**2)) for w, o in zip(weights, off, strict=True))
        return total

    def _aspects(self, shared: Float64Array) -> list[tuple[float, Float64Array]]:
        """Return each free camera's (fx - fy) in standard deviations, and its gradient."""
        found = []
        for lens, part in zip(self._lenses, self._parts[:2], strict=True):
            if lens.free:
                by = 1 / (_PRIOR_ASPECT * lens.numbers[0])
                gradient = np.zeros(shared.size)
                gradient[part.start], gradient[part.start + 1] = by, -by
                found.append((float(gradient @ shared), gradient))
        return found

    def _equations(self) -> tuple[float, Float64Array, Float64Array]:
        """Return the cost, and the normal equations' two sides."""
        movable, count = self.movable, int(self.movable.sum())
        size, shared_size = count + 6 * len(self._sights), self.shared.size
        left, right = np.zeros((size, size)), np.zeros(size)
        prior = np.diag(self._precision)
        pull = self._precision * (self.shared - self._mean)
        cost = float(pull @ (self.shared - self._mean))
        for aspect, gradient in self._aspects(self.shared):
            prior += np.outer(gradient, gradient)
            pull += aspect * gradient
            cost += aspect**2
        left[:count, :count], right[:count] = prior[np.ix_(movable, movable)], pull[movable]
        for i, weights in enumerate(self._weights):
            off, jacobians = self._project(i, self.shared, self.poses[i], want_jacobian=True)
            own = slice(count + 6 * i, count + 6 * i + 6)
            for w, o, J in zip(weights, off, jacobians, strict=True):
                twice = np.repeat(w, 2)
                r = o.ravel()
                JW = J.T * twice
                A, b = JW @ J, JW @ r
                cost += float(np.sum(twice * r**2))
                S, P = np.flatnonzero(movable), slice(shared_size, shared_size + 6)
                left[:count, :count] += A[np.ix_(S, S)]
                left[:count, own] += A[S, P]
                left[own, :count] += A[P, S]
                left[own, own] += A[P, P]
                right[:count] += b[S]
                right[own] += b[P]
        return cost, left, right

    def _project(
        self, i: int, shared: Float64Array, pose: Float64Array, *, want_jacobian: bool
    ) -> tuple[tuple[Float64Array, Float64Array], tuple[Float64Array, Float64Array]]:
        """Return both cameras' (N, 2) residuals, and their (2 N, shared + pose) Jacobians."""
        sight, seen = self._sights[i], self._seen[i]
        n, width = len(sight.points), shared.size + 6
        offs, jacobians = [np.zeros((n, 2)), np.zeros((n, 2))], [np.zeros((2 * n, width)) for _ in range(2)]
        first, second, mount = self._parts
        if seen[1].any():
            put, J = _projected(self._lenses[1].model, shared[second], sight.points, pose)
            offs[1] = np.where(seen[1][:, None], put - sight.in_rgb, 0.0)
            jacobians[1][:, second], jacobians[1][:, shared.size :] = J[:, 6:], J[:, :6]
        if seen[0].any():
            made = cv2.composeRT(pose[:3], pose[3:], shared[mount][:3], shared[mount][3:])
            there = np.concatenate([made[0].ravel(), made[1].ravel()])
            put, J = _projected(self._lenses[0].model, shared[first], sight.points, there)
            offs[0] = np.where(seen[0][:, None], put - sight.in_infrared, 0.0)
            if want_jacobian:
                by_pose = np.block([[made[2], made[3]], [made[6], made[7]]])
                by_mount = np.block([[made[4], made[5]], [made[8], made[9]]])
                jacobians[0][:, first] = J[:, 6:]
                jacobians[0][:, mount] = J[:, :6] @ by_mount
                jacobians[0][:, shared.size :] = J[:, :6] @ by_pose
        return (offs[0], offs[1]), (jacobians[0], jacobians[1])


def _projected(
    lens: str, numbers: Float64Array, points: Float64Array, pose: Float64Array
) -> tuple[Float64Array, Float64Array]:
    """Return (N, 2) pixels and the (2 N, 6 + numbers) Jacobian: turn, move, fx, fy, cx, cy, coefficients."""
    fx, fy, cx, cy = numbers[:4]
    K = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if lens == "equidistant":
        D = numbers[4:8] if numbers.size >= 8 else np.zeros(4)
        found, J = cv2.fisheye.projectPoints(points[None], pose[:3], pose[3:], K, D)
        J = np.concatenate([J[:, 8:14], J[:, : numbers.size]], axis=1)
    else:
        D = numbers[4:] if numbers.size > 4 else np.zeros(4)
        found, J = cv2.projectPoints(points, pose[:3], pose[3:], K, D)
        J = J[:, : 6 + numbers.size]
    return np.asarray(found, np.float64).reshape(-1, 2), np.asarray(J, np.float64)
