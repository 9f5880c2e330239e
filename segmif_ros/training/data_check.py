# SPDX-License-Identifier: Apache-2.0
"""Every file of a recipe's data read once: what there is, what is wrong with it, and what its classes are."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segmif_ros.data.image_files import DatasetError
from segmif_ros.data.mixture import SceneSource, Source
from segmif_ros.labels import IGNORE_ID, LabelSet

# as scenes are made, not read, a few tell whether they can be and how long that takes
_SCENES_TRIED = 3


@dataclass(kw_only=True)
class SourceReport:
    """What was found in a source.

    Attributes:
        title: What the source is called.
        count: Samples.
        read: Samples that were read.
        labelled: Samples read that have a pixel with truth.
        sizes: How many have which size, "width x height".
        pixels: Pixels read of each id, 255 those without truth.
        alone: How many have no label but this id's, pixels without truth, and no evidence of absence.
        problems: One line for each sample that can't be used.
        notes: What else to know.
    """

    title: str
    count: int
    read: int = 0
    labelled: int = 0
    sizes: Counter[str] = field(default_factory=Counter)
    pixels: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    alone: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self, classes: LabelSet, epochs: float | None) -> list[str]:
        """Return what to print; ``epochs``: how often a training sees each sample, None for held-out ones."""
        seen = f", each seen {epochs:.1f} times" if epochs is not None else ""
        lines = [f"{self.title}: {self.count} samples{seen}"]
        sizes = ", ".join(f"{size} ({count})" for size, count in self.sizes.most_common(3))
        if self.read:
            more = f" and {len(self.sizes) - 3} other sizes" if len(self.sizes) > 3 else ""
            lines.append(f"  {self.read} read, {self.labelled} with labels; {sizes}{more}")
        total = int(self.pixels.sum())
        if self.labelled:
            shares = [(self.pixels[i] / total, name) for i, name in enumerate(classes.names) if self.pixels[i]]
            shown = ", ".join(f"{name} {share:.1%}" for share, name in sorted(shares, reverse=True))
            lines.append(f"  pixels: {shown}, ignored {self.pixels[IGNORE_ID] / total:.1%}")
        for number, count in self.alone.most_common():
            name = classes.names[number]
            lines.append(
                f"  {count} of {self.read} are labelled with {name} alone, and nothing tells where {name} isn't: "
                "what is around it will be learned as such. Label more, or say by absent/ where it isn't"
            )
        lines += [f"  {note}" for note in self.notes]
        lines += [f"  PROBLEM {problem}" for problem in self.problems]
        return lines


def check_source(title: str, source: Source, advance: Callable[[int], None] = lambda _: None) -> SourceReport:
    """Read every sample of a source (of scenes, a few), going on after one that can't be used.

    Args:
        title: What the source is called.
        source: The opened source.
        advance: Called with 1 after every sample.
    """
    report = SourceReport(title=title, count=len(source))
    mapping = getattr(source, "mapping", None)
    if mapping is not None:
        report.notes.append(f"classes: {mapping.describe()}")
    report.notes += getattr(source, "notes", ())
    spent: list[float] = []
    for index in to_check(source):
        made = isinstance(source, SceneSource) and not source.is_kept(index)
        started = time.monotonic()
        try:
            sample = source.sample(index, np.random.default_rng(index))
        except DatasetError as error:
            report.problems.append(str(error))
        else:
            report.read += 1
            counts = np.bincount(sample.labels.ravel(), minlength=256)
            report.labelled += bool(counts[:IGNORE_ID].any())
            report.pixels += counts
            found = np.flatnonzero(counts[:IGNORE_ID])
            if len(found) == 1 and counts[IGNORE_ID] and (sample.absent is None or not sample.absent.any()):
                report.alone[int(found[0])] += 1
            report.sizes[f"{sample.labels.shape[1]}x{sample.labels.shape[0]}"] += 1
        if made:
            spent.append(time.monotonic() - started)
        advance(1)
    if isinstance(source, SceneSource):
        left = sum(not source.is_kept(index) for index in range(len(source)))
        each = f", about {duration(left * float(np.mean(spent)))} of one core" if spent and left else ""
        report.notes.append(f"{left} of {len(source)} scenes still to be made{each}")
    return report


def to_check(source: Source) -> list[int]:
    """Return the indices of the samples that `check_source` reads."""
    if isinstance(source, SceneSource):
        return np.unique(np.linspace(0, len(source) - 1, min(len(source), _SCENES_TRIED)).astype(int)).tolist()
    return list(range(len(source)))


def duration(seconds: float) -> str:
    """Return hours and minutes, rounded up to a minute."""
    hours, minutes = divmod(math.ceil(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
