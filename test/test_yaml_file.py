# SPDX-License-Identifier: Apache-2.0
"""One reader for all YAML: numbers as people write them, limits, and one line for whatever is wrong."""

import math
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segmif_ros.yaml_file import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    YamlError,
    at_line,
    located,
    parse_yaml,
    read_yaml,
    shown,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-05", 1e-05), ("1e5", 1e5), ("2e-2", 0.02), (".5", 0.5), ("1.", 1.0), ("-3.5E+2", -350.0)],
        *[("3", 3), ("-3", -3), ("0x10", 16), ("0o17", 15), ("010", 10), ("+1", 1)],
        *[(".inf", math.inf), ("-.Inf", -math.inf), ("yes", True), ("OFF", False), ("true", True), ("~", None)],
        *[("12:30:45", "12:30:45"), ("2024-02-30", "2024-02-30"), ("1_000", "1_000"), ("'1'", "1"), ("=", "=")],
        *[("!!str 1", "1"), ("!!float 1", 1.0), ("1e", "1e"), ("e5", "e5"), ("no1", "no1"), ("", None)],
    ],
)
def test_words_are_read_as_people_mean_them(text: str, value: object) -> None:
    found = parse_yaml(f"key: {text}", "f")["key"]
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_one() -> None:
    assert all(math.isnan(each) for each in parse_yaml("[.nan, .NaN, .Nan]", "f"))


def test_anchors_and_merges_are_followed() -> None:
    text = "base: &base {a: 1, b: 2}\nmine:\n  <<: *base\n  b: 3\nboth: {<<: [{c: 1}, *base], a: 0}"
    found = parse_yaml(text, "f")
    assert found["mine"] == {"a": 1, "b": 3}
    assert found["both"] == {"a": 0, "b": 2, "c": 1}


def test_a_file_of_opencvs_filestorage_is_read_as_it_is() -> None:
    matrix = "K: !!opencv-matrix\n   rows: 1\n   cols: 2\n   dt: d\n   data: [ 5.3591573396163199e+02, 0. ]\n"
    text = f"%YAML:1.0\n---\n{matrix}"
    found = parse_yaml(text, "f")
    assert found["K"] == {"rows": 1, "cols": 2, "dt": "d", "data": [535.91573396163199, 0.0]}
    assert found["K"].lines["dt"] == 6


def test_what_topic_echo_prints_ends_with_a_line_that_is_no_second_document() -> None:
    assert parse_yaml("width: 640\n---\n", "f") == {"width": 640}


def bomb(depth: int) -> str:
    text = f"&x0 [{','.join('1' * 10)}]"
    for i in range(1, depth):
        text = f"&x{i} [{text},{','.join([f'*x{i - 1}'] * 9)}]"
    return text


def merge_bomb(depth: int) -> str:
    lines = [f"x{i}: &x{i} {{<<: [{','.join([f'*x{i - 1}'] * 10)}]}}" for i in range(1, depth)]
    return "\n".join(["x0: &x0 {a: 1}", *lines])


REFUSED = {
    "a tab": ("a:\n\tb: 1", "line 2: not YAML: a tab: indent with spaces"),
    "an open bracket": ("a: 1\nb: [", "line 2: not YAML"),
    "two colons": ("a: b: c", "line 1: not YAML: mapping values are not allowed here"),
    "an undefined alias": ("a: *b", "line 1: not YAML: found undefined alias 'b'"),
    "a strange character": ("a: 1\nb: \x07", r"line 2: not YAML: the character '\\x07' is not allowed"),
    "two documents": ("--- 1\n--- 2", "line 2: not YAML"),
    "a key twice": ("a: 1\nb: 2\na: 3", r"line 3: the key 'a' is there twice \(also in line 1\)"),
    "a list as a key": ("? [1, 2]\n: 3", "line 1: a key must be a word"),
    "a python object": ("a: !!python/object/apply:os.system [ls]", "line 1: the tag !!python/object/apply:os.system"),
    "a timestamp": ("a: !!timestamp abc", "line 1: the tag !!timestamp is not taken"),
    "a set": ("a: !!set {b}", "the tag !!set is not taken"),
    "a bool that is none": ("a: !!bool x", "line 1: 'x' is no bool"),
    "an int that is none": ("\na: !!int abc", "line 2: 'abc' is no int"),
    "an int of 5000 digits": (f"a: {'9' * 5000}", "larger than 64 bits"),
    "an int of 65 bits": (f"a: {2**63}", "larger than 64 bits"),
    "a large hexadecimal": (f"a: 0x{'f' * 5000}", "larger than 64 bits"),
    "too deep": (f"a:\n  {'[' * 500}{']' * 500}", f"line 2: nested more than {MAX_DEPTH} deep"),
    "itself": ("a: &a [*a]", r"line 1: \*a is a part of itself"),
    "a merge of a number": ("<<: 3", "line 1: << takes mappings"),
    "a bomb": (bomb(9), f"more than {MAX_VALUES} values"),
    "a bomb of merges": (merge_bomb(9), f"more than {MAX_VALUES} values"),
    "xml": ('<?xml version="1.0"?><a/>', "f: is XML: write it as YAML"),
}


@pytest.mark.parametrize(("text", "line"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_yaml_is_refused_in_one_line_with_the_place(text: str, line: str) -> None:
    with pytest.raises(YamlError, match=line) as refused:
        parse_yaml(text, "f")
    assert str(refused.value).startswith("f: ")
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 200


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse_yaml(text, "f")
    except YamlError as error:
        assert len(str(error).splitlines()) == 1


# without digits: PyYAML doesn't quote 1e5, as it is no number for it
words = st.text("abcdenofyß .:#-'\"{}[]*&!\n\t~=<", max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_what_pyyaml_writes_is_read_back(content: object) -> None:
    assert parse_yaml(yaml.safe_dump(content), "f") == content


def test_a_file_that_is_missing_a_folder_or_too_large_is_refused(tmp_path) -> None:
    large, pipe, folder = tmp_path / "large.yaml", tmp_path / "pipe.yaml", tmp_path / "folder.yaml"
    large.write_bytes(b"# " + bytes([65]) * MAX_BYTES)
    os.mkfifo(pipe)
    folder.mkdir()
    for path, line in (
        (tmp_path / "gone.yaml", "gone.yaml: No such file or directory"),
        (folder, "folder.yaml: Is a directory"),
        (large, "large.yaml: is larger than 512 KiB"),
        (pipe, "pipe.yaml: is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        ("~nosuchuser/a.yaml", "there is no user 'nosuchuser'"),
    ):
        with pytest.raises(YamlError, match=line):
            read_yaml(path)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(YamlError, match=r"a\.yaml: line 2: not UTF-8 text"):
        read_yaml(path)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path) == {"a": 1}


def test_an_error_in_the_content_is_located_where_the_innermost_key_is() -> None:
    content = parse_yaml("a:\n  b: 1\n  c:\n    d: x\n", "f")
    with pytest.raises(ValueError, match="wrong") as caught, at_line(content, "a"), at_line(content["a"]["c"], "d"):
        raise ValueError("wrong")
    assert located("f.yaml", caught.value) == "f.yaml: line 4: wrong"


def test_an_error_elsewhere_is_located_by_the_file_alone() -> None:
    with pytest.raises(ValueError, match="wrong") as caught, at_line({"a": 1}, "a"):
        raise ValueError("wrong")
    assert located("f.yaml", caught.value) == "f.yaml: wrong"


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), [[[[[1]]]]], {"a": "b\n" * 1000}, b"\n" * 9999])
def test_any_value_is_shown_shortly_and_in_one_line(value: object) -> None:
    assert len(shown(value)) < 120
    assert "\n" not in shown(value)


def test_a_file_name_with_a_zero_byte_is_refused_in_one_line() -> None:
    with pytest.raises(YamlError, match="a path can't hold a zero byte"):
        read_yaml("rig\0.yaml")
