# SPDX-License-Identifier: Apache-2.0
"""The pairs of a bag, formed by the node's own pairer from every frame that was recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from segmif_ros.bag.messages import NS_PER_S, image_of
from segmif_ros.bag.reading import Bag, BagError, BagMessage
from segmif_ros.stream.pairing import NearestStampPairer, Pair
from segmif_ros.stream.pipeline_config import PipelineConfig
from segmif_ros.stream.processing import Frame
from segmif_ros.stream.single_camera import Moment, SingleCamera


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """A frame as it waits for its partner: not decoded yet."""

    message: BagMessage

    @property
    def stamp_ns(self) -> int:
        """When it was taken, from its header."""
        return self.message.stamp_ns

    def frame(self) -> Frame:
        """Return it as the pipeline takes it."""
        message = self.message
        return Frame(
            stamp_ns=message.stamp_ns,
            frame_id=message.frame_id,
            image=image_of(message.raw, message.message_type),
        )


@dataclass
class PairingFacts:
    """What pairing a bag came to; filled while `pairs_of` runs.

    Attributes:
        frames: Frames read, by camera.
        pairs: Pairs formed.
        dropped: Frames without a partner, by reason.
        offsets_ns: Infrared stamp minus RGB stamp of every pair, time offset taken off.
        stamps_ns: Stamps of all frames, by camera.
        slop_s: The slop in force at the end.
        alone: Frames that took the place of a pair, by the camera that was alone.
    """

    frames: dict[str, int] = field(default_factory=lambda: {"infrared": 0, "rgb": 0})
    pairs: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    offsets_ns: list[int] = field(default_factory=list)
    stamps_ns: dict[str, list[int]] = field(default_factory=lambda: {"infrared": [], "rgb": []})
    slop_s: float = 0.0
    alone: dict[str, int] = field(default_factory=lambda: {"infrared": 0, "rgb": 0})


def pairs_of(bag: Bag, config: PipelineConfig, facts: PairingFacts) -> Iterator[Pair[Recorded]]:
    """Yield every pair of the bag, in order."""
    pairer: NearestStampPairer[Recorded | None] = NearestStampPairer(
        config.slop_s, config.queue_size, config.time_offset_s
    )
    for message in bag.frames():
        facts.frames[message.role] += 1
        facts.stamps_ns[message.role].append(message.stamp_ns)
        add = pairer.add_infrared if message.role == "infrared" else pairer.add_rgb
        yield from _certain(add(message.stamp_ns, Recorded(message=message)), facts)
    # frames that still wait for a nearer partner: two that come long after everything show that none will
    if any(facts.stamps_ns.values()):
        end_ns = max(stamp for stamps in facts.stamps_ns.values() for stamp in stamps[-config.queue_size :])
        end_ns += 3600 * NS_PER_S + 2 * round(pairer.slop_s * NS_PER_S)
        facts.slop_s = pairer.slop_s
        yield from _certain(pairer.add_infrared(end_ns + round(config.time_offset_s * NS_PER_S), None), facts)
        yield from _certain(pairer.add_rgb(end_ns, None), facts)
    facts.dropped = dict(pairer.drops)


def moments_of(bag: Bag, config: PipelineConfig, facts: PairingFacts) -> Iterator[Moment[Recorded]]:
    """Yield what the node would process of the bag, in order: its pairs and, if ``config`` allows it, single frames.

    Frames arrive when they were recorded.
    """
    if config.single_camera == "none":
        for pair in pairs_of(bag, config, facts):
            yield Moment.of(pair, config.master_of(pair).stamp_ns)
        return
    pairer: NearestStampPairer[Recorded] = NearestStampPairer(config.slop_s, config.queue_size, config.time_offset_s)
    cameras: SingleCamera[Recorded] = SingleCamera(config.single_camera_config())
    cameras.health["infrared"].crop = config.decoding().infrared_crop
    now_ns = 0
    for message in bag.frames():
        facts.frames[message.role] += 1
        facts.stamps_ns[message.role].append(message.stamp_ns)
        now_ns = max(now_ns, message.recorded_ns)
        yield from _counted(cameras.advance(now_ns), facts)
        item = Recorded(message=message)
        add = pairer.add_infrared if message.role == "infrared" else pairer.add_rgb
        pairs = add(message.stamp_ns, item)
        cameras.health[message.role].sees(item.frame().image, now_ns, message.stamp_ns)
        yield from _counted(cameras.frame(message.role, now_ns, item, pairs), facts)
    facts.slop_s = pairer.slop_s
    facts.dropped = dict(pairer.drops)
    for reason, count in cameras.drops.items():
        facts.dropped[reason] = facts.dropped.get(reason, 0) + count


def _counted(moments: list[Moment[Recorded]], facts: PairingFacts) -> Iterator[Moment[Recorded]]:
    for moment in moments:
        if moment.cameras.single:
            facts.alone[moment.cameras.single] += 1
        else:
            facts.pairs += 1
            facts.offsets_ns.append(moment.offset_ns)
        yield moment


def _certain(pairs: list[Pair[Recorded | None]], facts: PairingFacts) -> Iterator[Pair[Recorded]]:
    for pair in pairs:
        if pair.infrared is not None and pair.rgb is not None:
            facts.pairs += 1
            facts.offsets_ns.append(pair.offset_ns)
            yield Pair(infrared=pair.infrared, rgb=pair.rgb, offset_ns=pair.offset_ns)


def moment_hash(moment: Moment[Recorded]) -> hashlib._Hash:
    """Return the SHA-256 over the messages as recorded, open for more."""
    digest = hashlib.sha256()
    for recorded in (moment.infrared, moment.rgb):
        if recorded is not None:
            digest.update(recorded.message.raw)
    return digest


def no_pairs(bag: Bag, config: PipelineConfig, facts: PairingFacts) -> BagError:
    """Return the line for a bag without a pair: the nearest offset there is, and what would pair."""
    silent = [camera for camera, count in facts.frames.items() if not count]
    if silent:
        return BagError(f"{bag.path}: the topic for {' and '.join(silent)} holds no message that can be read")
    offset_ns = round(config.time_offset_s * NS_PER_S)
    infrared = np.sort(np.asarray(facts.stamps_ns["infrared"], np.int64)) - offset_ns
    rgb = np.sort(np.asarray(facts.stamps_ns["rgb"], np.int64))
    after = np.searchsorted(rgb, infrared)
    candidates = np.stack([rgb[np.clip(after - 1, 0, rgb.size - 1)], rgb[np.clip(after, 0, rgb.size - 1)]])
    apart = infrared[None] - candidates
    nearest = np.take_along_axis(apart, np.abs(apart).argmin(axis=0)[None], axis=0)[0]
    smallest_ns = int(nearest[np.abs(nearest).argmin()])
    smallest_s, usual_s = 1e-9 * smallest_ns, 1e-9 * float(np.median(nearest))
    # up to the next millisecond, so that the nearest pair is within it
    slop_s = -(-abs(smallest_ns) // 1_000_000) / 1000
    return BagError(
        f"{bag.path}: no pair within the slop of {facts.slop_s:g} s: the nearest infrared stamp is "
        f"{smallest_s:+.6f} s from an RGB stamp (median {usual_s:+.6f} s): --slop {slop_s:g} would pair it, or "
        f"--time-offset {config.time_offset_s + usual_s:.4f} if the infrared driver stamps late"
    )
