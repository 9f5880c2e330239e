# SPDX-License-Identifier: Apache-2.0
"""What a weights report measures on, and how much of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from segmif_ros.data.image_files import DatasetError

if TYPE_CHECKING:  # torch would come with it
    from segmif_ros.evaluation.card.night_loss import RgbReference

HOLD_OUT_EVERY = 4
# of CamVid, what the package's recipes keep apart
HELD_OUT_SPLIT = "val"
# below --data: the folder of pairs, and whether training leaves every 4th out
_KNOWN_PAIRS = {"roadscene": HOLD_OUT_EVERY, "msrs_samples": 0}
KNOWN_STREETS, KNOWN_SEQUENCES = "real_pairs_val", "m3svd"


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much is measured.

    Attributes:
        scenes: Synthetic scenes of each lighting.
        images: CamVid images; None for all.
        pairs: Of each folder; None for all.
        frames: Of each synthetic sequence.
        sequence_frames: Of each real one.
    """

    scenes: int = 20
    images: int | None = None
    pairs: int | None = None
    frames: int = 12
    sequence_frames: int = 20


QUICK = Amounts(scenes=2, images=6, pairs=4, frames=3, sequence_frames=3)


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """What there is to measure on.

    Attributes:
        camvid: Folder of CamVid, or None.
        split: Its split.
        pairs: By name: the folder, and every how many-th pair alone is taken (0: all).
        untouched: Names of those of which no recipe of the package trains on any pair.
        streets: By name: folders of `data.object_truth`.
        sequences: By name: folders of frames in the order of their names, or of videos.
        rgb_reference: An RGB-only model to compare with on CamVid, or None.
    """

    camvid: Path | None
    split: str
    pairs: dict[str, tuple[Path, int]]
    untouched: frozenset[str] = frozenset()
    streets: dict[str, Path] = field(default_factory=dict)
    sequences: dict[str, Path] = field(default_factory=dict)
    rgb_reference: RgbReference | None = None


def find_data(options: argparse.Namespace) -> Data:
    """Return what the options name; folders below --data count where they exist.

    Raises:
        DatasetError: If --data is no folder or holds nothing of what is known, or two folders of pairs have one name.
    """
    camvid, untouched = options.camvid, frozenset[str]()
    streets, sequences = list(options.streets), list(options.sequences)
    asked = [(folder, HOLD_OUT_EVERY) for folder in options.pairs] + [(folder, 0) for folder in options.all_pairs]
    if options.data is not None:
        if not options.data.is_dir():
            raise DatasetError(f"{options.data}: {'not a folder' if options.data.exists() else 'no such folder'}")
        known = [(options.data / name, every) for name, every in _KNOWN_PAIRS.items()]
        there = [each for each in known if each[0].is_dir()]
        held_out, recorded = (_folders(options.data / name) for name in (KNOWN_STREETS, KNOWN_SEQUENCES))
        if not there and not held_out and not recorded and not (options.data / "camvid").is_dir():
            names = ("camvid", *_KNOWN_PAIRS, KNOWN_STREETS, KNOWN_SEQUENCES)
            raise DatasetError(f"{options.data}: holds none of {', '.join(names)}")
        asked, streets, sequences = there + asked, held_out + streets, recorded + sequences
        untouched = frozenset([folder.name for folder, every in there if every == 0] + [each.name for each in held_out])
        if camvid is None and (options.data / "camvid").is_dir():
            camvid = options.data / "camvid"
    return Data(
        camvid=camvid,
        split=options.camvid_split,
        pairs={name: (folder, dict(asked)[folder]) for name, folder in _by_name([each for each, _ in asked]).items()},
        untouched=untouched,
        streets=_by_name(streets),
        sequences=_by_name(sequences),
    )


def _by_name(folders: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        name = folder.resolve().name
        if name in found:
            raise DatasetError(f"{folder}: a second folder of pairs called '{name}': give each once, by its own name")
        found[name] = folder
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
