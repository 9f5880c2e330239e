# SPDX-License-Identifier: Apache-2.0
"""The node over real DDS with an engine that costs nothing: what goes in, what comes out, and what it says."""

from pathlib import Path

import numpy as np
import pytest
from patience import WAIT_S

pytest.importorskip("rclpy", reason="no ROS 2 here")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.srv import ChangeState, GetState
from node_bench import BEST_EFFORT, FRAME_NS, START_NS, SUCCESS
from node_processes import NODE_DOMAIN
from node_program import FakeEngine
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock as ClockMessage
from sensor_msgs.msg import Image

from segmif_ros.imaging.encodings import view
from segmif_ros.labels import FMB
from segmif_ros.rig.calibration import Homography, RigCalibration
from segmif_ros.rig.calibration_file import calibration_yaml
from segmif_ros.ros.messages import image_buffer, image_message, make_header, stamp_ns
from segmif_ros.ros.segmif_node import SegmifNode
from segmif_ros.settings import SettingError
from segmif_ros.trials.measuring import initialised

# --- outputs ---------------------------------------------------------------------------------------------------------


def test_fields_are_checked_in_these_tests() -> None:
    with pytest.raises(AssertionError):
        Image(height=1.5)


def test_a_pair_in_gives_all_outputs_with_the_rgb_frames_header(bench) -> None:
    table = bench()
    topics = table.listen_to_all()
    infrared = np.arange(48, dtype=np.uint8).reshape(6, 8)
    table.send(1, infrared=infrared, offset_ns=-2_000_000)
    table.send(2, cameras=("infrared",))  # the first pair is certain now
    table.until(lambda: all(table.received[topic] for topic in topics))
    for topic in topics:
        message = table.received[topic][0]
        assert stamp_ns(message.header) == START_NS + FRAME_NS, topic
        assert message.header.frame_id == "camera", topic
        assert (message.height, message.width) == (6, 8), topic
    fused, mask, confidence, overlay = (table.received[topic][0] for topic in topics)
    assert (fused.encoding, overlay.encoding) == ("rgb8", "rgb8")
    assert (view(image_buffer(fused)) == 215).all()
    assert (mask.encoding, mask.step, len(mask.data)) == ("mono8", 8, 48)
    assert mask.data[3 * 8 + 5] == infrared[3, 5] % 15
    assert np.array_equal(view(image_buffer(confidence)), infrared)


def test_the_palette_colours_the_overlay_and_leaves_the_ids(bench) -> None:
    def make_engine(config):
        engine = FakeEngine()
        engine.label_set = FMB.with_palette(config.network.engine.palette)  # as the engine does it
        return engine

    table = bench(make_engine=make_engine, palette="robot", overlay_alpha=1.0)
    topics = table.listen_to_all()
    person = FMB.id_of("person")
    table.send(1, infrared=np.full((6, 8), person, np.uint8))
    table.send(2, cameras=("infrared",))  # the first pair is certain now
    table.until(lambda: all(table.received[topic] for topic in topics))
    mask, overlay = (table.received[f"segmentation/{what}"][0] for what in ("mask", "overlay"))
    assert set(mask.data) == {person}
    assert view(image_buffer(overlay))[0, 0].tolist() == FMB.with_palette("robot").palette[person].tolist()


def test_an_unknown_palette_keeps_the_node_from_starting_in_one_line(ros_context) -> None:
    with pytest.raises(SettingError, match=r"^parameter 'palette' is 'neon': allowed is dataset, robot$"):
        SegmifNode(
            lambda _config: FakeEngine(), context=ros_context, parameter_overrides=[Parameter("palette", value="neon")]
        )


def test_the_semantic_map_holds_everything_in_one_message(bench) -> None:
    msg = pytest.importorskip("segmif_ros.msg", reason="the package's own messages were not built here")
    table = bench(time_offset_s=0.01)
    table.listen("segmentation/semantic_map", msg.SemanticMap)
    table.until(lambda: any(p.topic.endswith("map") and p.get_subscription_count() for p in table.node.publishers))
    for number in range(1, 6):
        table.send(number, offset_ns=11_000_000)
    table.until(lambda: table.received["segmentation/semantic_map"])
    message = table.received["segmentation/semantic_map"][0]
    assert message.header.frame_id == "camera"
    assert (message.model_name, message.model_hash, message.inference_ms) == ("fake", "0123456789ab", 12.5)
    assert message.pair_offset_s == pytest.approx(0.001)
    assert sum(each.pixel_count for each in message.classes) == 48


def test_without_the_packages_messages_the_standard_ones_are_published_and_the_log_says_how_to_get_them(
    bench, monkeypatch
) -> None:
    monkeypatch.setattr("segmif_ros.ros.outputs.semantic_map_type", lambda: (None, "segmif_ros.msg was not built"))
    table = bench()
    topics = table.listen_to_all()
    table.send(1)
    table.until(lambda: all(table.received[topic] for topic in topics))
    said = [line for line in table.log if "semantic_map" in line]
    assert len(said) == 1
    assert "pip install" in said[0]


def test_the_master_can_be_the_infrared_camera_and_the_fused_image_mono(bench) -> None:
    table = bench(master="infrared", fused_encoding="mono8")
    table.listen_to_all()
    table.send(1)
    table.until(lambda: table.received["fused/image"])
    message = table.received["fused/image"][0]
    assert (message.header.frame_id, message.encoding, len(message.data)) == ("thermal", "mono8", 48)


def test_nothing_is_drawn_while_nobody_listens(bench, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr("segmif_ros.ros.outputs.draw_overlay", lambda *_args, **_more: drawn.append(1))
    table = bench()
    table.listen("segmentation/mask")
    counts = {each.topic: each.get_subscription_count for each in table.node.publishers}
    table.until(lambda: counts["segmentation/mask"]() and not counts["segmentation/overlay"]())
    table.send(1)
    table.until(lambda: table.received["segmentation/mask"])
    assert not drawn


def test_sixteen_bit_infrared_goes_through_the_gain_stage(bench) -> None:
    table = bench(gain_policy="fixed", gain_fixed_low=1000.0, gain_fixed_high=2000.0)
    table.listen_to_all()
    table.send(1, infrared=np.full((6, 8), 1500, np.uint16))
    table.until(lambda: table.received["segmentation/confidence"])
    assert set(table.received["segmentation/confidence"][0].data) == {128}


# --- faults ----------------------------------------------------------------------------------------------------------


def test_an_exception_in_the_engine_costs_one_frame(bench) -> None:
    table = bench(engine=FakeEngine(errors={2: RuntimeError("CUDA\nout of memory")}))
    table.listen_to_all()
    for number in (1, 2, 3):
        table.send(number)
        table.until(lambda count=number: table.engine.calls == count)
    table.until(lambda: len(table.received["segmentation/mask"]) == 2)
    stamps = [stamp_ns(message.header) - START_NS for message in table.received["segmentation/mask"]]
    assert stamps == [FRAME_NS, 3 * FRAME_NS]
    table.until(lambda: (table.value("dropped_error"), table.value("processed")) == ("1", "2"))
    assert table.log.count("pair dropped, the engine failed: RuntimeError: CUDA out of memory") == 1


def test_a_pair_of_different_sizes_and_an_undecodable_frame_cost_one_frame_each(bench) -> None:
    table = bench()
    table.send(1, infrared=np.zeros((5, 8), np.uint8))
    table.until(lambda: table.value("dropped_size") == "1")
    broken = image_message(np.zeros((6, 8, 3), np.uint8), "rgb8", make_header(START_NS + 2 * FRAME_NS, "camera"))
    broken.height = 7
    table.cameras["rgb"].publish(broken)
    good = image_message(np.zeros((6, 8), np.uint8), "mono8", make_header(START_NS + 2 * FRAME_NS, "thermal"))
    table.cameras["infrared"].publish(good)
    table.until(lambda: table.value("dropped_undecodable") == "1")
    table.send(3)
    table.until(lambda: table.value("processed") == "1")
    assert sum("infrared is 8x5 and RGB 8x6" in line for line in table.log) == 1
    assert sum("RGB frame: the data has 144 bytes" in line for line in table.log) == 1


def test_a_bag_that_loops_keeps_the_outputs_coming(bench) -> None:
    table = bench()
    for loop in range(2):
        for number in range(10, 20):
            table.send(number)
            table.until(lambda count=10 * loop + number - 9: table.engine.calls == count)


# --- diagnostics -----------------------------------------------------------------------------------------------------


def test_diagnostics_carry_counts_rate_latency_and_the_model(bench) -> None:
    table = bench()
    for number in range(1, 5):
        table.send(number)
        table.until(lambda count=number: table.engine.calls == count)
    table.until(lambda: table.value("processed") == "4")
    values = table.values()
    assert table.status().name == "segmif_node: pipeline"
    assert (values["frames_infrared"], values["frames_rgb"], values["pairs"]) == ("4", "4", "4")
    assert (values["model"], values["device"]) == ("fake 0123456789ab", "none")
    for key in (
        *("rate_hz", "dropped_late", "dropped_orphan", "dropped_superseded", "dropped_undecodable", "dropped_size"),
        *("dropped_error", "age_ms_p50", "age_ms_p95", "age_ms_p99", "age_ms_max", "pair_offset_ms_mean"),
        *("stage_decode_ms_p50", "stage_wait_ms_p95", "stage_gain_ms_p99", "stage_network_ms_p50"),
        *("stage_publish_ms_p50", "stage_total_ms_p99", "pair_offset_ms_max"),
    ):
        assert float(values[key]) >= 0, key


def test_the_age_is_measured_with_the_nodes_clock_against_the_master_stamp(bench) -> None:
    table = bench()
    now_ns = table.node.get_clock().now().nanoseconds
    table.cameras["rgb"].publish(
        image_message(np.zeros((6, 8, 3), np.uint8), "rgb8", make_header(now_ns - 500_000_000, "camera"))
    )
    table.cameras["infrared"].publish(
        image_message(np.zeros((6, 8), np.uint8), "mono8", make_header(now_ns - 500_000_000, "thermal"))
    )
    table.until(lambda: table.value("processed") == "1")
    assert 500 <= float(table.value("age_ms_max")) < 500 + 1000 * WAIT_S


def test_simulated_time_is_the_clock_of_ages_and_a_jump_back_starts_pairing_anew(bench) -> None:
    table = bench(use_sim_time=True)
    clock = table.others.create_publisher(ClockMessage, "/clock", 10)
    clock_of_node = table.node.get_clock()

    def set_clock(sec: int, nanosec: int) -> None:
        clock.publish(ClockMessage(clock=Time(sec=sec, nanosec=nanosec)))
        table.until(lambda: clock_of_node.now().nanoseconds == sec * 10**9 + nanosec)

    table.until(clock.get_subscription_count)
    set_clock(START_NS // 10**9, 250_000_000)
    table.send(0)
    table.until(lambda: table.value("processed") == "1")
    assert table.value("age_ms_max") == "250.00"
    table.send(1, cameras=("rgb",))
    table.until(lambda: table.value("frames_rgb") == "2")
    set_clock(START_NS // 10**9 - 1, 0)
    assert any("the clock jumped back" in line for line in table.log)
    table.until(lambda: table.value("dropped_orphan") == "1")


def test_a_topic_that_nobody_publishes_is_said_once_and_taken_back_once_frames_come(bench) -> None:
    table = bench(input_timeout_s=0.1)
    table.others.destroy_publisher(table.cameras.pop("infrared"))
    table.until(lambda: any("nobody publishes /infrared/image_raw" in line for line in table.log))
    table.until(lambda: "nobody publishes /infrared/image_raw" in table.status().message)
    assert table.status().level == DiagnosticStatus.WARN
    table.cameras["infrared"] = table.others.create_publisher(Image, "infrared/image_raw", BEST_EFFORT)
    table.until(lambda: all(each.get_subscription_count() for each in table.cameras.values()))
    for number in range(1, 1000):
        table.beat(number)
        if table.status().level == DiagnosticStatus.OK:
            break
    assert table.status().message == "active"
    assert sum("nobody publishes /infrared" in line and not line.startswith("solved") for line in table.log) == 1
    assert any(line.startswith("solved (was: infrared") for line in table.log)


def test_a_qos_mismatch_is_said_with_the_reason(bench) -> None:
    table = bench(start=False, input_timeout_s=0.1, input_reliability="reliable")
    assert table.node.start()
    table.until(lambda: any("don't match" in line for line in table.log))
    line = next(line for line in table.log if "don't match" in line)
    assert line.startswith("infrared: the publisher of /infrared/image_raw")
    assert "reliable subscription" in line.lower()


def test_a_subscriber_that_asks_for_more_than_the_outputs_offer_is_said(bench) -> None:
    table = bench()
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    table.listen("segmentation/mask", qos=latched)
    table.until(lambda: any("/segmentation/mask: subscriber 'bench'" in line for line in table.log))


def test_a_subscriber_that_matches_is_no_problem(bench) -> None:
    table = bench()
    table.listen("segmentation/mask", qos=BEST_EFFORT)
    table.listen_to_all()
    count = len(table.received["/diagnostics"])
    table.until(lambda: len(table.received["/diagnostics"]) >= count + 2)
    assert not [line for line in table.log if "match" in line]


def test_a_topic_that_carries_something_else_is_said(bench) -> None:
    table = bench(start=False, input_timeout_s=0.1)
    for camera in tuple(table.cameras):
        table.others.destroy_publisher(table.cameras.pop(camera))
    assert table.node.start()
    elsewhere = Context()  # within one participant the middleware itself refuses a second type
    with initialised(elsewhere, NODE_DOMAIN):
        other = Node("other", context=elsewhere)
        other.create_publisher(DiagnosticArray, "rgb/image_raw", 1)
        wanted = "/rgb/image_raw carries diagnostic_msgs/msg/DiagnosticArray"
        table.until(lambda: any(wanted in line for line in table.log))
        other.destroy_node()


def test_a_steady_large_offset_is_said_with_the_value_that_corrects_it(bench) -> None:
    table = bench()
    for number in range(1, 1000):
        table.beat(number, offset_ns=8_000_000)
        if any("set time_offset_s to 0.0080" in line for line in table.log):
            return
    pytest.fail(f"never said: {table.log}")


# --- life ------------------------------------------------------------------------------------------------------------


def test_configure_warms_up_at_the_size_that_the_parameters_say(bench) -> None:
    table = bench(warm_up_height=64, warm_up_width=96)
    assert table.engine.warmed_up == [(64, 96)]


def test_configure_warms_up_at_the_size_of_the_calibrated_camera(bench, tmp_path: Path) -> None:
    homography = Homography(matrix=np.diag([2.5, 2.0, 1.0]), infrared_size=(64, 48), rgb_size=(160, 96))
    (tmp_path / "rig.yaml").write_text(calibration_yaml(RigCalibration(homography=homography)))
    table = bench(calibration_file=str(tmp_path / "rig.yaml"), registration="homography")
    assert table.engine.warmed_up == [(96, 160)]


def test_without_autostart_the_node_waits_for_transitions(bench) -> None:
    table = bench(start=False, autostart=False)
    assert table.node.start()
    table.until(lambda: bool(table.received["/diagnostics"]))
    assert table.status().message == "unconfigured"
    assert not table.engine.warmed_up
    client = table.others.create_client(ChangeState, "segmif_node/change_state")
    states = table.others.create_client(GetState, "segmif_node/get_state")

    def call(which, request):
        table.until(which.service_is_ready)
        future = which.call_async(request)
        table.until(future.done)
        return future.result()

    for transition, state in (("configure", "inactive"), ("activate", "active"), ("deactivate", "inactive"),
                              ("activate", "active"), ("deactivate", "inactive"), ("cleanup", "unconfigured"),
                              ("configure", "inactive"), ("shutdown", "finalized")):  # fmt: skip
        request = ChangeState.Request()
        request.transition.label = transition
        assert call(client, request).success, transition
        assert call(states, GetState.Request()).current_state.label == state


def test_an_inactive_node_processes_nothing_and_works_again_once_active(bench) -> None:
    table = bench()
    table.send(1)
    table.until(lambda: table.engine.calls == 1)
    assert table.node.trigger_deactivate() == SUCCESS
    table.until(lambda: not any(each.get_subscription_count() for each in table.cameras.values()))
    assert table.node.trigger_activate() == SUCCESS
    table.until(lambda: all(each.get_subscription_count() for each in table.cameras.values()))
    table.send(2)
    table.until(lambda: table.engine.calls == 2)
    assert table.engine.warmed_up == [(480, 640)], "the model was loaded once"


def test_cleanup_frees_the_model_and_its_outputs(bench) -> None:
    loaded = []

    def make_engine(_config):
        loaded.append(FakeEngine())
        return loaded[-1]

    table = bench(make_engine=make_engine)
    assert table.node.trigger_deactivate() == SUCCESS
    assert table.node.trigger_cleanup() == SUCCESS
    assert not [each for each in table.node.publishers if each.topic.startswith(("fused", "segmentation"))]
    assert table.node.trigger_configure() == SUCCESS
    assert len(loaded) == 2


@pytest.mark.parametrize("error", [RuntimeError("device 'cuda:9'\nis not there"), ValueError("no such weights")])
def test_a_failed_configuration_is_one_line_and_can_be_tried_again(bench, error) -> None:
    errors = [error]

    def make_engine(_config):
        if errors:
            raise errors.pop()
        return FakeEngine()

    table = bench(start=False, make_engine=make_engine)
    assert not table.node.start()
    assert table.log == [f"can't configure: {' '.join(str(error).split())}"]
    assert table.node.start()


def test_a_defect_while_configuring_is_said_with_its_traceback(bench) -> None:
    def make_engine(_config):
        raise KeyError("defect")

    table = bench(start=False, make_engine=make_engine)
    assert not table.node.start()
    assert "KeyError: 'defect'" in table.log[0]


# --- parameters ------------------------------------------------------------------------------------------------------


def test_a_bad_value_stops_the_node_from_being_made(ros_context) -> None:
    with pytest.raises(SettingError, match=r"parameter 'slop_s' is -1\.0: allowed is 0 to 10"):
        SegmifNode(context=ros_context, parameter_overrides=[Parameter("slop_s", value=-1.0)])


def test_an_integer_is_fine_for_a_float_and_reads_back_as_one(bench) -> None:
    table = bench(start=False, slop_s=1)
    assert table.node.get_parameter("slop_s").value == 1.0


def test_an_unknown_name_is_said_and_qos_overrides_are_known(bench, capfd) -> None:
    override = "qos_overrides.{}.subscription.depth"
    table = bench(**{"slop": 0.1, override.format("/rgb/image_raw"): 2, override.format("/rbg"): 2})
    assert "there is no parameter 'slop', did you mean 'slop_s'?; it is ignored" in capfd.readouterr().err
    said = [line for line in table.log if "there is no parameter" in line]
    assert len(said) == 1
    assert said[0].startswith(f"there is no parameter '{override.format('/rbg')}', did you mean")
    depths = {each.topic: each.qos_profile.depth for each in table.node.subscriptions}
    assert (depths["rgb/image_raw"], depths["infrared/image_raw"]) == (2, 5)


def test_a_changed_value_takes_effect_from_the_next_pair_on(bench) -> None:
    table = bench()
    table.listen_to_all()
    table.send(1)
    table.until(lambda: len(table.received["fused/image"]) == 1)
    changes = [Parameter("master", value="infrared"), Parameter("fused_encoding", value="mono8")]
    assert all(each.successful for each in table.node.set_parameters(changes))
    table.send(2)
    table.until(lambda: len(table.received["fused/image"]) == 2)
    message = table.received["fused/image"][1]
    assert (message.header.frame_id, message.encoding) == ("thermal", "mono8")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("slop_s", "wide", "parameter 'slop_s' is 'wide': a number is needed"),
        ("gain_low_percentile", 99.5, "gain percentiles 99.5 and 99: 0 <= low < high <= 100 is needed"),
        ("device", "other", "parameter 'device' can change only while the node is unconfigured"),
        ("master", None, "parameter 'master' is not set: a text is needed"),
        ("autostart", False, "Trying to set a read-only parameter: autostart."),
    ],
)
def test_a_change_that_is_not_possible_is_refused_with_the_reason(bench, name, value, reason) -> None:
    table = bench()
    before = table.node.get_parameter(name).value
    result = table.node.set_parameters([Parameter(name, value=value)])[0]
    assert not result.successful
    assert result.reason.startswith(reason)
    assert table.node.get_parameter(name).value == before


def test_the_weights_may_change_while_the_node_is_unconfigured(bench) -> None:
    seen = []

    def make_engine(config):
        seen.extend(config.network.engine.weights)
        return FakeEngine()

    table = bench(start=False, make_engine=make_engine)
    assert table.node.set_parameters([Parameter("weights", value="other")])[0].successful
    assert table.node.start()
    assert seen == ["other"]
