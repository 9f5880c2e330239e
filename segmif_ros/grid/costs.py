# SPDX-License-Identifier: Apache-2.0
"""The cost of each class, and how it lies or stands on the ground. Read from YAML such as config/grid_costs.yaml."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segmif_ros.grid.errors import CostsError
from segmif_ros.labels import common_name
from segmif_ros.yaml_file import YamlError, read_yaml

FILE = "grid_costs.yaml"
LETHAL = 100
NOTHING, GROUND, EITHER, HANGING, OBJECT = range(5)
KINDS = {"nothing": NOTHING, "ground": GROUND, "either": EITHER, "hanging": HANGING, "object": OBJECT}
_KEYS = ("kind", "cost", "never_free", "movable", "overhang_m", "clearance_m")
_MOST_M = {"overhang_m": 5.0, "clearance_m": 2.0}
_REST = ("unlabelled", "unlabeled", "background", "void")


@dataclass(frozen=True, kw_only=True)
class ClassCost:
    """One class.

    Attributes:
        kind: A key of `KINDS`.
        cost: 0 (free) to 100 (lethal).
        never_free: Whether a cell where it is likely has at least its cost.
        movable: Whether it is forgotten sooner when it isn't seen any more.
        overhang_m: How far it may reach beyond where it touches the ground, as a bumper before the wheels.
        clearance_m: How high over the ground its body may end between its wheels.
    """

    kind: str
    cost: int
    never_free: bool = False
    movable: bool = False
    overhang_m: float = 0.0
    clearance_m: float = 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassTable:
    """The costs of one label set by id. Arrays of N classes, and of 256 ids where pixels are looked up.

    Attributes:
        names: Of the classes.
        kinds: (256,) uint8, values of `KINDS`; ids without a class say nothing.
        costs: (N,) float32, 0 to 100.
        stands: (N,) bool: may be an obstacle (objects, hanging things and what is either).
        never_free: (N,) bool.
        movable: (N,) bool.
        overhang_m: (256,) float32.
        clearance_m: (256,) float32.
        hides: (256,) bool: may have moved to where it hides the ground.
        likely: Probability at which a never_free class counts.
        unnamed: Classes that the costs don't name; they say nothing.
    """

    names: tuple[str, ...]
    kinds: npt.NDArray[np.uint8]
    costs: npt.NDArray[np.float32]
    stands: npt.NDArray[np.bool_]
    never_free: npt.NDArray[np.bool_]
    movable: npt.NDArray[np.bool_]
    overhang_m: npt.NDArray[np.float32]
    clearance_m: npt.NDArray[np.float32]
    hides: npt.NDArray[np.bool_]
    likely: float
    unnamed: tuple[str, ...]

    def ids(self, *kinds: int) -> npt.NDArray[np.uint8]:
        """Return (256,) uint8, 255 at the ids of these kinds, for cv2.LUT."""
        return np.where(np.isin(self.kinds, kinds), 255, 0).astype(np.uint8)

    def problems(self) -> list[str]:
        """Return a line for each thing about this label set that a user should know."""
        found = []
        if self.unnamed:
            found.append(
                f"the costs don't name {', '.join(self.unnamed)}: their pixels leave cells unknown; add them to the "
                "file of parameter costs"
            )
        if GROUND not in self.kinds[: len(self.names)]:
            found.append(f"none of the classes {', '.join(self.names)} is ground: no cell will ever be free")
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class CostTable:
    """The content of a YAML file: classes by name, and the probability at which a never_free class counts."""

    classes: Mapping[str, ClassCost]
    likely: float = 0.15

    def for_names(self, names: tuple[str, ...]) -> ClassTable:
        """Return the table by id of a label set's class names, in the order of ids.

        In a set without any ground class "unlabelled" is mostly the ground itself: there it is no evidence.
        """
        by_meaning = {common_name(name): each for name, each in self.classes.items()}
        found = [self.classes.get(name) or by_meaning.get(common_name(name)) for name in names]
        has_ground = any(each is not None and each.kind == "ground" for each in found)
        nothing = ClassCost(kind="nothing", cost=0)
        rows = [
            nothing if each is None or (name in _REST and not has_ground) else each
            for name, each in zip(names, found, strict=True)
        ]
        kinds = np.full(256, NOTHING, np.uint8)
        kinds[: len(rows)] = [KINDS[each.kind] for each in rows]
        movable = np.array([each.movable for each in rows], bool)
        hides = np.zeros(256, bool)
        hides[: len(rows)] = movable
        overhang_m, clearance_m = np.zeros((2, 256), np.float32)
        overhang_m[: len(rows)] = [each.overhang_m for each in rows]
        clearance_m[: len(rows)] = [each.clearance_m for each in rows]
        return ClassTable(
            names=names,
            kinds=kinds,
            costs=np.array([each.cost for each in rows], np.float32),
            stands=np.isin(kinds[: len(rows)], (OBJECT, HANGING, EITHER)),
            never_free=np.array([each.never_free for each in rows], bool),
            movable=movable,
            overhang_m=overhang_m,
            clearance_m=clearance_m,
            hides=hides,
            likely=self.likely,
            unnamed=tuple(name for name, each in zip(names, found, strict=True) if each is None),
        )


def default_costs_file() -> Path:
    """Return the package's config/grid_costs.yaml: package data where it is installed, else the checkout's."""
    package = Path(__file__).resolve().parent.parent
    places = (package / "config" / FILE, package.parent / "config" / FILE)
    found = next((each for each in places if each.is_file()), None)
    if found is None:
        raise CostsError(f"no {FILE} in {' or '.join(str(each.parent) for each in places)}: install segmif_ros again")
    return found


def read_costs(path: Path) -> CostTable:
    """Read a cost table from YAML; CostsError names the file and the key.

    Returns:
        The costs by class name.
    """
    try:
        return cost_table(read_yaml(path))
    except YamlError as error:
        raise CostsError(str(error)) from None
    except CostsError as error:
        raise CostsError(f"{path}: {error}") from None


def cost_table(content: Any) -> CostTable:
    """Return the table of a mapping as YAML gives it; CostsError names the key that is wrong."""
    if not isinstance(content, dict) or not isinstance(content.get("classes"), dict) or not content["classes"]:
        raise CostsError("a mapping with 'classes' is needed, each with kind and cost")
    _refuse_unknown(content, ("classes", "likely"), "costs")
    likely = content.get("likely", CostTable.likely)
    if not _is_number(likely) or not 0 < likely <= 1:
        raise CostsError(f"likely is {likely!r}: a probability over 0, up to 1, is needed")
    return CostTable(
        classes={str(name): _class_cost(str(name), each) for name, each in content["classes"].items()},
        likely=float(likely),
    )


def _class_cost(name: str, content: Any) -> ClassCost:
    where = f"classes.{name}"
    if not isinstance(content, dict) or not {"kind", "cost"} <= content.keys():
        raise CostsError(f"{where} must be a mapping with kind and cost")
    _refuse_unknown(content, _KEYS, where)
    kind, cost = content["kind"], content["cost"]
    if kind not in KINDS:
        raise CostsError(f"{where}.kind is {kind!r}: choose one of {', '.join(KINDS)}")
    if not _is_number(cost) or not 0 <= cost <= LETHAL or cost != int(cost):
        raise CostsError(f"{where}.cost is {cost!r}: a whole number from 0 to {LETHAL} is needed")
    flags = {key: content.get(key, False) for key in ("never_free", "movable")}
    for key, value in flags.items():
        if not isinstance(value, bool):
            raise CostsError(f"{where}.{key} is {value!r}: true or false is needed")
    if flags["never_free"] and not cost:
        raise CostsError(f"{where} is never_free and has cost 0: give it a cost over 0")
    lengths = {key: content.get(key, 0.0) for key in _MOST_M}
    for key, value in lengths.items():
        if not _is_number(value) or not 0 <= value <= _MOST_M[key]:
            raise CostsError(f"{where}.{key} is {value!r}: 0 to {_MOST_M[key]:g} metres are possible")
    overhang_m, clearance_m = (float(value) for value in lengths.values())
    return ClassCost(kind=kind, cost=int(cost), overhang_m=overhang_m, clearance_m=clearance_m, **flags)


def _refuse_unknown(content: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            meant = f", did you mean '{close[0]}'?" if close else f": known are {', '.join(known)}"
            raise CostsError(f"{where} has unknown key '{key}'{meant}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
