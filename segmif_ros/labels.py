# SPDX-License-Identifier: Apache-2.0
"""Label sets: which id means which class, and in what colour it is drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmif_ros import palettes
from segmif_ros.yaml_file import YamlError, at_line, located, read_yaml, shown

# Pixels without truth, in whatever set: no set can have a class of this id.
IGNORE_ID = 255
# What stands in a label map instead of a class of `counterparts`: no counterpart, so those pixels are never looked at.
IGNORED = "ignored"
# How classes are drawn: in the data set's colours, or so that people stand out when one watches a robot.
PALETTES: tuple[str, ...] = ("dataset", "robot")


class LabelSetError(ValueError):
    """A label set that doesn't exist or doesn't fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSet:
    """The classes of a data set or a model, in the order of their ids.

    Attributes:
        name: How parameters and checkpoints name the set.
        names: Class names; the index is the id.
        palette: (N, 3) uint8 RGB, one colour an id.
        ignore_id: Pixels of this id have no truth: never trained on, never counted. It may be the id of a class; 255
            has no truth besides it.
        aliases: Other sets' names of classes to the names here, beside those of the common table.
        other_palettes: Colours that others draw the same classes in; label maps in them are read, too.
    """

    name: str
    names: tuple[str, ...]
    palette: npt.NDArray[np.uint8] = field(repr=False)
    ignore_id: int = IGNORE_ID
    aliases: Mapping[str, str] = field(default_factory=dict, repr=False)
    other_palettes: tuple[npt.NDArray[np.uint8], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, name: str) -> int:
        """Return the id of the class called ``name``; LabelSetError lists the names that exist."""
        if name not in self.names:
            raise LabelSetError(f"label set '{self.name}' has no class '{name}': choose from {', '.join(self.names)}")
        return self.names.index(name)

    def colourise(self, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return (H, W) uint8 ids as a (H, W, 3) uint8 RGB picture; ids outside the set are black."""
        table = np.zeros((256, 3), np.uint8)
        table[: len(self)] = self.palette
        return np.take(table, labels, axis=0)

    def with_palette(self, name: str) -> LabelSet:
        """Return the set in the colours of one of `PALETTES`; ids and names stay, and maps in its own are still read.

        "robot" goes by the name of a class, or by another set's name for it; classes that have no colour there keep
        their hue, dulled. LabelSetError: no such palette (lists those that exist).
        """
        if name not in PALETTES:
            raise LabelSetError(f"no palette '{name}': choose from {', '.join(PALETTES)}")
        if name == "dataset":
            return self
        words = [[each, *(other for other, mine in self.aliases.items() if mine == each)] for each in self.names]
        rest = np.isin(self.names, list(_REST))[:, None]  # black, so that overlays leave it out
        meant = [[common_name(word.lower().replace(" ", "_")) for word in each] for each in words]
        palette = palettes.robot(meant, np.where(rest, 0, self.palette).astype(np.uint8))
        palette.setflags(write=False)
        return replace(self, palette=palette, other_palettes=(self.palette, *self.other_palettes))


def _label_set(
    name: str,
    classes: Sequence[tuple[str, tuple[int, int, int]]],
    ignore_id: int = IGNORE_ID,
    other_palettes: tuple[npt.NDArray[np.uint8], ...] = (),
) -> LabelSet:
    palette = np.array([colour for _, colour in classes], np.uint8)
    palette.setflags(write=False)
    return LabelSet(
        name=name,
        names=tuple(each for each, _ in classes),
        palette=palette,
        ignore_id=ignore_id,
        other_palettes=other_palettes,
    )


# MRFS draws FMB's classes in these colours.
_FMB_MRFS = np.array(
    [
        *((0, 0, 0), (179, 228, 228), (181, 57, 133), (67, 162, 177), (200, 178, 50)),
        *((132, 45, 199), (66, 172, 84), (179, 73, 79), (76, 99, 166), (66, 121, 253)),
        *((137, 165, 91), (155, 97, 152), (105, 153, 140), (222, 215, 158), (135, 113, 90)),
    ],
    np.uint8,
)
_FMB_MRFS.setflags(write=False)

# The palette is the one of the SegMiF paper's figures.
FMB = _label_set(
    "fmb",
    [
        ("unlabelled", (0, 0, 0)),
        ("road", (173, 229, 229)),
        ("sidewalk", (187, 57, 134)),
        ("building", (45, 163, 178)),
        ("lamp", (206, 176, 47)),
        ("sign", (131, 54, 200)),
        ("vegetation", (56, 171, 83)),
        ("sky", (183, 71, 78)),
        ("person", (66, 102, 167)),
        ("car", (14, 127, 255)),
        ("truck", (138, 163, 91)),
        ("bus", (156, 98, 153)),
        ("motorcycle", (101, 153, 140)),
        ("bicycle", (225, 214, 155)),
        ("pole", (136, 111, 89)),
    ],
    other_palettes=(_FMB_MRFS,),
)

MFNET = _label_set(
    "mfnet",
    [
        ("unlabelled", (0, 0, 0)),
        ("car", (64, 0, 128)),
        ("person", (64, 64, 0)),
        ("bike", (0, 128, 192)),
        ("curve", (0, 0, 192)),
        ("car_stop", (128, 128, 0)),
        ("guardrail", (64, 64, 128)),
        ("color_cone", (192, 128, 128)),
        ("bump", (192, 64, 0)),
    ],
)

CAMVID = _label_set(
    "camvid",
    [
        ("sky", (128, 128, 128)),
        ("building", (128, 0, 0)),
        ("pole", (192, 192, 128)),
        ("road", (128, 64, 128)),
        ("pavement", (60, 40, 222)),
        ("tree", (128, 128, 0)),
        ("sign", (192, 128, 128)),
        ("fence", (64, 64, 128)),
        ("car", (64, 0, 128)),
        ("pedestrian", (64, 64, 0)),
        ("bicyclist", (0, 128, 192)),
        ("unlabelled", (0, 0, 0)),
    ],
    ignore_id=11,
)

# The order of ids and the colours of the data set's own paper; another public loader orders the classes differently.
PST900 = _label_set(
    "pst900",
    [
        ("background", (0, 0, 0)),
        ("fire_extinguisher", (0, 0, 255)),
        ("backpack", (0, 255, 0)),
        ("hand_drill", (255, 0, 0)),
        ("survivor", (255, 255, 255)),
    ],
)

LABEL_SETS = {each.name: each for each in (FMB, MFNET, CAMVID, PST900)}

# Names of one class in different sets: any of them to the first.
_COMMON = {
    other: name
    for name, *others in (
        ("person", "pedestrian", "people", "human", "survivor"),
        ("bicycle", "bike", "bicyclist", "cyclist"),
        ("motorcycle", "motorbike", "motorcyclist"),
        ("sidewalk", "pavement", "footpath"),
        ("vegetation", "tree", "trees", "bush"),
        ("sign", "traffic_sign", "sign_symbol"),
        ("lamp", "traffic_light", "traffic_lamp"),
        ("color_cone", "traffic_cone", "cone"),
        ("guardrail", "guard_rail"),
    )
    for other in others
}
# "Everything else" means something else in each set, so it never has a counterpart in another one.
_REST = frozenset({"unlabelled", "unlabeled", "background", "void", "other", "ignore"})


def label_set(name: str) -> LabelSet:
    """Return the label set called ``name``, or the one that a file of that name (.yaml, .yml) describes.

    Raises LabelSetError: no such set (lists those that exist), or a file that can't be used.
    """
    if name.endswith((".yaml", ".yml")):
        return read_label_set(Path(name))
    try:
        return LABEL_SETS[name]
    except KeyError:
        raise LabelSetError(
            f"no label set '{name}': choose from {', '.join(LABEL_SETS)}, or give a .yaml file"
        ) from None


def counterparts(theirs: LabelSet, ours: LabelSet, label_map: Mapping[str, str] | None = None) -> dict[int, int | None]:
    """Return the id in ``ours`` of each id of ``theirs`` that is the same class, None where there is none.

    The same class is one of the same name, or of names that mean the same: aliases of either set, or the common table
    (pavement and sidewalk, pedestrian and person, ...). ``label_map`` goes before all that: their name to ours, or to
    'ignored'. A set's rest (unlabelled, background, ...) has no counterpart in another set.

    Args:
        theirs: The set whose ids are mapped.
        ours: The set that they are mapped onto.
        label_map: Names that are decided by hand; LabelSetError for one that its set lacks.
    """
    label_map = label_map or {}
    for name, target in label_map.items():
        theirs.id_of(name)
        if target != IGNORED:
            ours.id_of(target)
    same = theirs.names == ours.names
    by_meaning: dict[str, int] = {}
    for i, name in enumerate(ours.names):
        by_meaning.setdefault(common_name(name), i)

    def counterpart(name: str) -> int | None:
        if name in label_map:
            return None if label_map[name] == IGNORED else ours.id_of(label_map[name])
        if not same and name in _REST:
            return None
        others = [other for other, mine in theirs.aliases.items() if mine == name]
        wanted = [name, *filter(None, [ours.aliases.get(name)]), *others]
        found = next((ours.names.index(each) for each in wanted if each in ours.names), None)
        if found is None:
            found = next((by_meaning[common_name(each)] for each in wanted if common_name(each) in by_meaning), None)
        return found

    found = {i: counterpart(name) for i, name in enumerate(theirs.names)}
    return {i: None if ours.ignore_id == j or theirs.ignore_id == i else j for i, j in found.items()}


def rest_of(labels: LabelSet) -> int | None:
    """Return the id of the class for all that a set doesn't name (unlabelled, background); None if it has none."""
    found = (i for i, name in enumerate(labels.names) if name in _REST and i != labels.ignore_id)
    return next(found, None)


def common_name(name: str) -> str:
    """Return the name that a class goes by where sets call it differently: person for pedestrian, and so on."""
    return _COMMON.get(name, name)


def read_label_set(path: Path) -> LabelSet:
    """Return a label set of one's own from YAML; LabelSetError names the file and the key.

    ``name``; ``classes``: a list in the order of the ids, each with ``name``, and if wanted ``colour`` (red, green,
    blue) and ``aliases`` (names of the class in other sets); ``ignore_id`` (default 255).
    """
    try:
        content = read_yaml(path)
    except YamlError as error:
        raise LabelSetError(str(error)) from None
    try:
        return parse_label_set(content)
    except LabelSetError as error:
        raise LabelSetError(located(path, error)) from None


def parse_label_set(content: Any) -> LabelSet:
    """Return the label set that a mapping describes, as in `read_label_set`; LabelSetError names the key."""
    _require_keys(content, "label set", ("name", "classes"), ("ignore_id",))
    name, classes, ignore_id = content["name"], content["classes"], content.get("ignore_id", IGNORE_ID)
    with at_line(content, "name"):
        if not isinstance(name, str) or not name or name.endswith((".yaml", ".yml")):
            raise LabelSetError(f"name is {shown(name)}: a word is needed")
    with at_line(content, "ignore_id"):
        if type(ignore_id) is not int or not 0 <= ignore_id <= 255:
            raise LabelSetError(f"ignore_id is {shown(ignore_id)}: an id from 0 to 255 is needed")
    palette = palettes.spread(len(classes) if isinstance(classes, list) else 0)
    names: list[str] = []
    aliases: dict[str, str] = {}
    with at_line(content, "classes"):
        if not isinstance(classes, list) or not 1 <= len(classes) <= IGNORE_ID:
            raise LabelSetError(f"classes must be a list of 1 to {IGNORE_ID} classes")
        for i, each in enumerate(classes):
            own, others, colour = _class_of(each, f"classes[{i}]")
            if colour is not None:
                palette[i] = colour
            names.append(own)
            for other in others:
                if aliases.setdefault(other, own) != own:
                    raise LabelSetError(f"'{other}' is an alias of both '{aliases[other]}' and '{own}'")
        twice = sorted({each for each in names if names.count(each) > 1})
        if twice:
            raise LabelSetError(f"two classes are called {', '.join(twice)}")
    palette.setflags(write=False)
    return LabelSet(name=name, names=tuple(names), palette=palette, ignore_id=ignore_id, aliases=aliases)


def _class_of(content: Any, where: str) -> tuple[str, list[str], list[int] | None]:
    """Return name, aliases and colour of a class."""
    _require_keys(content, where, ("name",), ("colour", "aliases"))
    own, others, colour = content["name"], content.get("aliases", []), content.get("colour")
    with at_line(content, "name"):
        if not isinstance(own, str) or not own or own == IGNORED:
            raise LabelSetError(
                f"{where}.name is {shown(own)}: a word is needed (YAML reads yes, no, on and off as values)"
            )
    with at_line(content, "aliases"):
        if not isinstance(others, list) or not all(isinstance(other, str) for other in others):
            raise LabelSetError(f"{where}.aliases must be a list of names")
    with at_line(content, "colour"):
        if colour is not None and not _is_colour(colour):
            raise LabelSetError(f"{where}.colour is {shown(colour)}: give [red, green, blue], each from 0 to 255")
    return own, others, colour


def _require_keys(content: Any, where: str, needed: tuple[str, ...], possible: tuple[str, ...]) -> None:
    if not isinstance(content, dict):
        raise LabelSetError(f"{where} must be a mapping with {', '.join((*needed, *possible))}")
    missing = [key for key in needed if key not in content]
    if missing:
        raise LabelSetError(f"{where} lacks {', '.join(missing)}")
    for key in content:
        if key not in (known := (*needed, *possible)):
            with at_line(content, key):
                raise LabelSetError(f"{where} has an unknown key {shown(key)}; known: {', '.join(known)}")


def _is_colour(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value)


def label_metadata(labels: LabelSet) -> dict[str, str]:
    """Return a label set in strings for a checkpoint, so that its file alone describes its classes."""
    classes = [
        {"name": name, "colour": colour} for name, colour in zip(labels.names, labels.palette.tolist(), strict=True)
    ]
    return {
        "label_set": labels.name,
        "label_classes": json.dumps({"ignore_id": labels.ignore_id, "classes": classes}),
    }


def label_set_of(metadata: Mapping[str, str], count: int) -> LabelSet:
    """Return the label set that a checkpoint's metadata describes or names, else the usual one of ``count`` classes.

    Args:
        metadata: The strings of a checkpoint; LabelSetError if its set is unknown, or of another number of classes.
        count: How many classes its head has.
    """
    name = metadata.get("label_set")
    if name is None:
        return label_set_for_classes(count)
    if "label_classes" in metadata:
        try:
            content = json.loads(metadata["label_classes"])
        except (ValueError, RecursionError) as error:
            raise LabelSetError(f"label_classes of the weights is not JSON: {str(error)[:100]}") from None
        if not isinstance(content, dict):
            raise LabelSetError("label_classes of the weights must be a mapping")
        found = parse_label_set({**content, "name": name})
        known = LABEL_SETS.get(name)
        if known is not None and known.names == found.names:
            found = known
    else:
        found = label_set(name)
    if len(found) != count:
        raise LabelSetError(
            f"the weights name label set '{name}' of {len(found)} classes, but have {count}: get the file again"
        )
    return found


def label_set_for_classes(count: int) -> LabelSet:
    """Return the label set for a model of ``count`` classes whose checkpoint names none.

    The authors' checkpoints carry no names: 15 classes are FMB's, 9 are MFNet's. For any other number the classes are
    called class_0, class_1 and so on, and their colours are spread over the hue circle.
    """
    for known in (FMB, MFNET):
        if len(known) == count:
            return known
    palette = palettes.spread(count)
    palette.setflags(write=False)
    return LabelSet(name=f"classes-{count}", names=tuple(f"class_{i}" for i in range(count)), palette=palette)
