# SPDX-License-Identifier: Apache-2.0
"""An output that is added as CONTRIBUTING.md tells is published, can be remapped, and is allowed by the policy."""

import runpy
from pathlib import Path

import pytest

from segmif_ros.ros import topics
from segmif_ros.ros.parameter_files import POLICY, with_topics

ROOT = Path(__file__).parents[2]
ROW = ("toy_topic", "toy/image", "output: a toy")


def test_the_policy_has_the_topics_of_now() -> None:
    text = (ROOT / POLICY).read_text()
    assert text == with_topics(text), "run: make params"


def test_a_topic_of_the_table_is_a_launch_argument_and_in_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "TOPICS", (*topics.TOPICS, ROW))
    monkeypatch.setattr("segmif_ros.ros.parameter_files.TOPICS", topics.TOPICS)
    launch = runpy.run_path(str(ROOT / "launch" / "segmif.launch.py"))
    assert ROW in launch["TOPICS"]
    publish, _, subscribe = with_topics((ROOT / POLICY).read_text()).partition('<topics subscribe="ALLOW">')
    assert "<topic>toy/image</topic>" in publish and "<topic>toy/image</topic>" not in subscribe


def test_an_output_with_a_publisher_is_published_by_the_node(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from sensor_msgs.msg import Image

    from segmif_ros.ros import outputs, segmif_node
    from segmif_ros.ros.messages import image_message, make_header

    class ToyOutputs(outputs.Outputs):
        def _create(self) -> None:
            super()._create()
            self._toy = self._publisher(Image, "toy/image")

        def publish(self, output) -> None:
            super().publish(output)
            header = make_header(output.master.stamp_ns, output.master.frame_id)
            self._toy.publish(image_message(output.result.labels, "mono8", header))

    monkeypatch.setattr(segmif_node, "Outputs", ToyOutputs)
    table = bench()
    table.listen("toy/image")
    table.until(lambda: table.node.count_subscribers("toy/image"))
    table.send(1)
    table.until(lambda: table.received["toy/image"])
