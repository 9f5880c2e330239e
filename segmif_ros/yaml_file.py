# SPDX-License-Identifier: Apache-2.0
"""The one reader of YAML files: calibrations, cameras, label sets, params files and recipes come through here.

A file may be from a stranger. It can make neither objects nor work: its size, depth and number of values are limited,
aliases count as often as they are used, and only plain values are made. Whatever is wrong is one line with the file
and the line.

Numbers are those that people mean: ``1e-05`` is one (YAML 1.1 takes it for a text), and dates and ``12:30`` are texts.
Files of OpenCV's FileStorage are read as they are, too.
"""

from __future__ import annotations

import re
import reprlib
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from segmif_ros.paths import one_line, user_path

MAX_BYTES = 512 << 10
MAX_DEPTH = 40
MAX_VALUES = 50_000  # an alias counts for all that it stands for
_LONGEST_LINE = 800  # of a message
_MAX_DIGITS = 40  # of a whole number; 64 bits take 20
_PREFIX = "tag:yaml.org,2002:"
_PLAIN = {_PREFIX + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
# what cv2.FileStorage puts before a matrix, which is a mapping of rows, cols, dt and data
_MATRICES = {_PREFIX + "opencv-matrix", _PREFIX + "opencv-nd-matrix"}
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|Nan|NAN)"
)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*|0[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+)")
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class YamlError(ValueError):
    """A file that can't be read as YAML; one line that names it, and the line in it."""


class YamlMapping(dict[Any, Any]):
    """A mapping of a file, which knows in which lines its keys are.

    Attributes:
        lines: Line (from 1) by key.
    """

    lines: Mapping[Any, int] = {}  # empty for copies, which are plain values


def read_yaml(path: str | Path) -> Any:
    """Read a file.

    Args:
        path: ``~`` and ``~user`` are replaced.

    Returns:
        None for an empty file, else plain values: mappings (`YamlMapping`), lists, str, int (64 bits), float, bool
        and None.

    Raises:
        YamlError: If it can't be read, isn't YAML, is too large, or holds something that isn't a plain value.
    """
    try:
        path = user_path(path)
        if stat.S_ISFIFO(mode := path.stat().st_mode) or stat.S_ISCHR(mode):  # would wait for ever, or never end
            raise YamlError(f"{path}: is not a regular file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise YamlError(f"{one_line(str(path))}: {error.strerror or error}") from None
    if len(content) > MAX_BYTES:
        raise YamlError(f"{path}: is larger than {MAX_BYTES >> 10} KiB, which no such file needs")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlError(f"{path}: line {line}: not UTF-8 text") from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str, max_values: int = MAX_VALUES) -> Any:
    """Return the values of a YAML text, as `read_yaml`.

    Args:
        text: All of it.
        name: Stands for the file in messages.
        max_values: How many values it may hold.

    Raises:
        YamlError: As `read_yaml`.
    """
    if text.lstrip().startswith("<?xml"):
        raise YamlError(f"{name}: is XML: write it as YAML (cv2.FileStorage does so for a name that ends with .yaml)")
    # YAML of OpenCV begins with the directive of a YAML that never was: its line stays, for the numbers of the others
    text = re.sub(r"\A%YAML[: ]1\.\d.*", "", text)
    # `ros2 topic echo` ends a message with the line that begins a document
    text = re.sub(r"\n---\s*\Z", "\n", text)
    try:
        loader = _Loader(text, max_values)
        try:
            node = loader.get_single_node()
            return None if node is None else loader.value_of(node)
        finally:
            loader.dispose()
    except YamlError as error:
        raise YamlError(f"{name}: {one_line(str(error))}") from None
    except Exception as error:  # parsers raise many types on damaged text; the reason is kept
        raise YamlError(f"{name}: {one_line(_reason(error, text))}") from error


@contextmanager
def at_line(content: Any, key: Any) -> Iterator[None]:
    """Return a context that notes the line of ``content[key]`` on a ValueError, for `located`.

    Of nested calls the innermost one counts, which knows the place best.

    Args:
        content: A mapping of `read_yaml`; nothing is noted for any other.
        key: One of its keys.
    """
    try:
        yield
    except ValueError as error:
        line = getattr(content, "lines", {}).get(key)
        if line is not None and not hasattr(error, "yaml_line"):
            error.yaml_line = line  # type: ignore[attr-defined]
        raise


def located(path: str | Path, error: ValueError) -> str:
    """Return the message of an error in a file's content, with the file and, if `at_line` noted it, the line.

    Args:
        path: The file.
        error: What is wrong with its content.
    """
    line = getattr(error, "yaml_line", None)
    where = one_line(str(path))
    return one_line(f"{where}: {error}" if line is None else f"{where}: line {line}: {error}", _LONGEST_LINE)


def shown(value: Any) -> str:
    """Return a value of a file for a message: whatever it is, short and in one line."""
    return _SHORT.repr(value)


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 60
        self.maxlevel, self.maxlist, self.maxdict = 2, 4, 4

    def repr_YamlMapping(  # noqa: N802  # reprlib looks for the type's name
        self, value: YamlMapping, level: int
    ) -> str:
        return self.repr_dict(value, level)


_SHORT = _Short()


class _Loader(yaml.SafeLoader):
    """Composes with limits, and makes the values itself: PyYAML's own constructors raise whatever they like."""

    def __init__(self, text: str, max_values: int) -> None:
        super().__init__(text)
        self._max_values = max_values
        self._depth = 0
        self._used = 0
        self._sizes: dict[int, int] = {}  # values that a node stands for, of nodes that are complete

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node; YamlError if there are too many, or too deep ones."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        before = self._used
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self._sizes:
                raise YamlError(f"line {line}: *{event.anchor} is a part of itself")
            self._used += self._sizes[id(node)]
        else:
            self._depth += 1
            self._used += 1
            if self._depth > MAX_DEPTH:
                raise YamlError(f"line {line}: nested more than {MAX_DEPTH} deep")
            node = super().compose_node(parent, index)
            self._depth -= 1
            self._sizes[id(node)] = self._used - before
        if self._used > self._max_values:
            raise YamlError(f"line {line}: more than {self._max_values} values, counting those that aliases repeat")
        return node

    def value_of(self, node: yaml.Node) -> Any:
        """Return what a node means."""
        if node.tag not in _PLAIN and not (node.tag in _MATRICES and isinstance(node, yaml.MappingNode)):
            raise YamlError(f"line {_line(node)}: the tag {node.tag.replace(_PREFIX, '!!')} is not taken")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value_of(each) for each in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode) -> YamlMapping:
        made, merged = YamlMapping(), YamlMapping()
        lines: dict[Any, int] = {}
        for key_node, value_node in node.value:
            line = _line(key_node)
            if key_node.tag == _PREFIX + "merge":
                value = self.value_of(value_node)
                for each in reversed(value if isinstance(value, list) else [value]):
                    if not isinstance(each, dict):
                        raise YamlError(f"line {line}: << takes mappings")
                    merged.update(each)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError(f"line {line}: a key must be a word, not a list or a mapping")
            key = self.value_of(key_node)
            if key in lines:
                raise YamlError(f"line {line}: the key {shown(key)} is there twice (also in line {lines[key]})")
            lines[key] = line
            made[key] = self.value_of(value_node)
        for key, value in merged.items():
            made.setdefault(key, value)
        made.lines = lines
        return made


# Plain words are resolved as YAML 1.2 does it, with the words of YAML 1.1 for true and false, which ROS takes as well.
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", re.compile(f"(?:{'|'.join(f'{word}|{word.title()}|{word.upper()}' for word in _BOOLS)})$"), "yYnNtTfFoO"),
    ("int", re.compile(f"(?:{_INT.pattern})$"), "-+0123456789"),
    ("float", re.compile(f"(?:{_FLOAT.pattern})$"), "-+0123456789."),
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), "~nN\0"),
    ("merge", re.compile(r"(?:<<)$"), "<"),
):
    _Loader.add_implicit_resolver(_PREFIX + _tag, _pattern, ["" if each == "\0" else each for each in _first])


def _scalar(node: yaml.ScalarNode) -> Any:
    """Return the value of a word; the tag may have been given by hand, so that the text need not fit it."""
    kind, text = node.tag.removeprefix(_PREFIX), node.value
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if kind == "int" and _INT.fullmatch(text):
        number = _whole(text) if len(text) <= _MAX_DIGITS else 1 << 64
        if not -(1 << 63) <= number < 1 << 63:
            raise YamlError(f"line {_line(node)}: the whole number {shown(text)} is larger than 64 bits")
        return number
    if kind == "float" and _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise YamlError(f"line {_line(node)}: {shown(text)} is no {kind}")


def _whole(text: str) -> int:
    # 010 is ten, as it looks: neither YAML 1.2 nor a person means eight
    return int(text, 0) if "x" in text or "o" in text else int(text)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _reason(error: Exception, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        if "'\\t'" in str(error.problem):
            return f"{where}not YAML: a tab: indent with spaces"
        return f"{where}not YAML: {error.problem or error.context}"
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"line {line}: not YAML: the character {text[error.position]!a} is not allowed"
    return f"not YAML: {str(error) or type(error).__name__}"
