# SPDX-License-Identifier: Apache-2.0
"""The recorder: what it counts, how old things were, and which samples it keeps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.imaging.encodings import ImageBuffer
from segmif_ros.reporting.numbers import percentiles
from segmif_ros.trials import samples as recorder
from segmif_ros.trials.samples import (
    ClassShare,
    Diagnostics,
    EachOnceChoice,
    Record,
    SpreadChoice,
    streaming_s,
    write_record,
)

MS = 1_000_000
CLASSES = (ClassShare(id=0, name="road", colour=(1, 2, 3), pixels=48),)


def _image(value: int, encoding: str = "rgb8") -> ImageBuffer:
    channels = 3 if encoding == "rgb8" else 1
    kind = np.uint16 if encoding == "mono16" else np.uint8
    data = np.full((6, 8, channels), value, kind)
    step = 8 * channels * data.itemsize
    return ImageBuffer(encoding=encoding, height=6, width=8, step=step, is_bigendian=False, data=data.tobytes())


def _pair(record: Record, stamp_ns: int, value: int = 10, infrared_stamp_ns: int | None = None) -> None:
    infrared_stamp_ns = stamp_ns if infrared_stamp_ns is None else infrared_stamp_ns
    record.input(recorder.INFRARED, infrared_stamp_ns, stamp_ns + 2 * MS, _image(value, "mono8"))
    record.input(recorder.RGB, stamp_ns, stamp_ns + 3 * MS, _image(value))


def _outputs(record: Record, stamp_ns: int, age_ms: int = 50, value: int = 20, offset_ns: int = 0) -> None:
    now_ns = stamp_ns + age_ms * MS
    record.output(recorder.FUSED, stamp_ns, now_ns, _image(value))
    record.output(recorder.MASK, stamp_ns, now_ns, _image(3, "mono8"))
    record.output(recorder.CONFIDENCE, stamp_ns, now_ns, _image(value, "mono8"))
    record.output(recorder.OVERLAY, stamp_ns, now_ns, _image(value))
    record.semantic_map(stamp_ns, now_ns, CLASSES, offset_ns)


def _everything(_stamp_ns: int, _content: int) -> bool:
    return True


def test_ages_are_counted_from_stamp_to_arrival() -> None:
    record = Record(_everything)
    for i in range(4):
        _pair(record, i * 100 * MS)
        _outputs(record, i * 100 * MS, age_ms=40 + 10 * i)
    fused = record.summary()["outputs"][recorder.FUSED]
    assert fused["age_ms"] == pytest.approx({"p50": 55.0, "p95": 68.5, "p99": 69.7, "max": 70.0, "mean": 55.0})
    assert fused["rate_hz"] == pytest.approx(10.0)
    assert fused["frames"] == fused["matched"] == 4


def test_an_output_whose_input_was_not_seen_is_not_matched() -> None:
    record = Record(_everything)
    _pair(record, 0)
    _outputs(record, 0)
    _outputs(record, 100 * MS)
    fused = record.summary()["outputs"][recorder.FUSED]
    assert (fused["frames"], fused["matched"]) == (2, 1)
    assert len(record.samples) == 1


def test_a_topic_without_messages_has_no_percentiles() -> None:
    empty = Record(_everything).summary()["outputs"][recorder.OVERLAY]
    assert empty == {"frames": 0, "rate_hz": 0.0, "age_ms": percentiles([]), "matched": 0}


def test_pauses_between_stretches_of_frames_are_no_streaming_time() -> None:
    arrivals = [0, 100, 200, 300, 5000, 5100, 5200]
    assert streaming_s([each * MS for each in arrivals]) == pytest.approx(0.7)
    assert streaming_s([7]) == 0.0


def test_the_first_and_the_latest_diagnostics_are_kept() -> None:
    diagnostics = Diagnostics()
    for processed in ("2", "5", "9"):
        diagnostics.take({"processed": processed})
    assert (diagnostics.first, diagnostics.latest) == ({"processed": "2"}, {"processed": "9"})


def test_a_sample_waits_for_all_of_its_parts() -> None:
    record = Record(_everything)
    _pair(record, 0)
    record.output(recorder.FUSED, 0, MS, _image(1))
    record.output(recorder.MASK, 0, MS, _image(1, "mono8"))
    record.output(recorder.CONFIDENCE, 0, MS, _image(1, "mono8"))
    record.output(recorder.OVERLAY, 0, MS, _image(1))
    assert not record.samples
    record.semantic_map(0, MS, CLASSES, 0)
    assert [each.classes for each in record.samples] == [CLASSES]


def test_without_the_semantic_map_a_sample_is_complete_with_the_images() -> None:
    record = Record(_everything, with_map=False)
    _pair(record, 0)
    _outputs(record, 0)
    assert [each.classes for each in record.samples] == [()]


def test_the_infrared_image_of_a_sample_is_the_one_that_the_node_paired() -> None:
    record = Record(_everything)
    _pair(record, 0, value=10, infrared_stamp_ns=8 * MS)
    record.input(recorder.INFRARED, -5 * MS, 0, _image(99, "mono8"))  # nearer, but not the partner
    _outputs(record, 0, offset_ns=8 * MS)
    assert record.samples[0].infrared[0, 0] == 10


def test_raw_infrared_counts_become_a_picture() -> None:
    record = Record(_everything)
    _pair(record, 0)
    record.input(recorder.INFRARED, 0, 0, _image(7000, "mono16"))
    _outputs(record, 0)
    assert record.samples[0].infrared.dtype == np.uint8


def test_an_undecodable_sample_is_counted_and_the_next_one_taken() -> None:
    record = Record(_everything)
    _pair(record, 0)
    record.input(recorder.RGB, 0, 0, ImageBuffer(**{**_fields(_image(1)), "data": b"short"}))
    _outputs(record, 0)
    _pair(record, 100 * MS)
    _outputs(record, 100 * MS)
    assert (record.undecodable, len(record.samples)) == (1, 1)


def _fields(image: ImageBuffer) -> dict:
    return {name: getattr(image, name) for name in ImageBuffer.__dataclass_fields__}


def test_memory_for_waiting_inputs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_HELD_BYTES", 1000)
    record = Record(_everything)
    for i in range(100):
        _pair(record, i // 2 * MS)  # every stamp twice, as when a bag loops
    assert record._held_bytes <= 1000
    assert sum(len(each.data) for held in record._held.values() for each in held.values()) == record._held_bytes


def test_samples_are_spread_over_the_run() -> None:
    choice = SpreadChoice(3, 3.0)
    taken = [i for i in range(100) if choice(i * 100 * MS, 0)]
    assert taken == [5, 15, 25]


def test_samples_that_come_late_are_not_taken_one_upon_the_other() -> None:
    choice = SpreadChoice(3, 3.0)
    assert [i for i in (0, 25, 26, 27, 28, 29, 30, 36, 40) if choice(i * 100 * MS, 0)] == [25, 30, 40]


def test_a_slow_node_whose_moments_were_all_passed_over_leaves_the_latest_one() -> None:
    record = Record(lambda *_: False)
    assert record.moments == 0
    for i in range(3):
        _pair(record, i * 100 * MS)
        _outputs(record, i * 100 * MS)
    assert (record.moments, record.samples) == (1, [])
    record.finish()
    assert [each.stamp_ns for each in record.samples] == [200 * MS]


def test_a_moment_that_was_passed_over_is_not_added_to_chosen_ones() -> None:
    record = Record(lambda stamp_ns, _: stamp_ns == 0)
    for i in range(2):
        _pair(record, i * 100 * MS)
        _outputs(record, i * 100 * MS)
    record.finish()
    assert [each.stamp_ns for each in record.samples] == [0]


def test_each_image_is_taken_once() -> None:
    choice = EachOnceChoice(3)
    assert [choice(0, content) for content in (1, 1, 2, 1, 3, 4)] == [True, False, True, False, True, False]


def test_the_record_is_written_with_its_pictures(tmp_path: Path) -> None:
    record = Record(_everything)
    _pair(record, 0, value=10)
    record.input(recorder.RGB, 0, 0, ImageBuffer(**{**_fields(_image(0)), "data": bytes((200, 100, 50)) * 48}))
    _outputs(record, 0)
    diagnostics = Diagnostics()
    diagnostics.take({"processed": "1"})
    write_record(tmp_path, record, diagnostics, {"undecodable": 0})
    found = json.loads((tmp_path / "record.json").read_text())
    assert found["diagnostics"] == {"processed": "1"}
    assert found["samples"][0]["classes"] == [{"id": 0, "name": "road", "colour": [1, 2, 3], "pixels": 48}]
    files = found["samples"][0]["files"]
    assert cv2.imread(str(tmp_path / files["rgb"]))[0, 0].tolist() == [50, 100, 200]  # OpenCV reads BGR
    assert cv2.imread(str(tmp_path / files["labels"]), cv2.IMREAD_UNCHANGED)[0, 0] == 3
