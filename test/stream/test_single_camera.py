# SPDX-License-Identifier: Apache-2.0
"""One camera may die: the other goes on, and both do again when they are well."""

from dataclasses import dataclass

import pytest

from segmif_ros.imaging.look import Look
from segmif_ros.stream.camera_health import Condition
from segmif_ros.stream.pairing import NearestStampPairer
from segmif_ros.stream.single_camera import SingleCamera, SingleCameraConfig

S = 1_000_000_000
PERIOD = S // 10


@dataclass(frozen=True)
class Picture:
    stamp_ns: int
    camera: str


class Rig:
    """Two cameras at 10 Hz on a clock of their own, before a real pairer."""

    def __init__(self, **config) -> None:
        self.single: SingleCamera[Picture] = SingleCamera(SingleCameraConfig(**config))
        self.pairer: NearestStampPairer[Picture] = NearestStampPairer(0.02, 10, config.get("time_offset_s", 0.0))
        self.now_ns = S
        self.count = 0
        self.moments = []

    def run(self, seconds, *, infrared="live", rgb="live", late_ns=0):
        """Run and return the moments that came out; a camera is "live", "frozen", "flat" or "" (silent)."""
        found = []
        for _ in range(round(seconds * S / PERIOD)):
            self.now_ns += PERIOD
            self.count += 1
            for camera, how in (("infrared", infrared), ("rgb", rgb)):
                if how:
                    found += self.send(camera, how, self.now_ns + (late_ns if camera == "infrared" else 0))
            found += self.single.advance(self.now_ns + PERIOD // 2)
        self.moments += found
        return found

    def send(self, camera, how, stamp_ns):
        look = Look(
            digest=7 if how == "frozen" else self.count,
            low=100.0 if how == "flat" else 10.0,
            high=101.0 if how == "flat" else 200.0,
            saturated=0.0,
            detail=3.0,
            eight_bit=True,
        )
        picture = Picture(stamp_ns, camera)
        self.single.health[camera].take(look, self.now_ns, stamp_ns)
        add = self.pairer.add_infrared if camera == "infrared" else self.pairer.add_rgb
        return self.single.frame(camera, self.now_ns, picture, add(stamp_ns, picture))


def used(moments):
    return [moment.cameras.single or "both" for moment in moments]


def test_while_both_cameras_are_well_every_pair_passes_and_nothing_else() -> None:
    rig = Rig()
    assert used(rig.run(3)) == ["both"] * 30


@pytest.mark.parametrize(("dead", "living"), [("infrared", "rgb"), ("rgb", "infrared")])
@pytest.mark.parametrize("how", ["", "frozen", "flat"])
def test_when_a_camera_is_lost_the_other_one_goes_on_at_its_rate(dead: str, living: str, how: str) -> None:
    rig = Rig()
    rig.run(2)
    rig.run(1, **{dead: how})
    alone = rig.run(5, **{dead: how})
    assert used(alone) == [living] * 50
    assert all(getattr(moment, dead) is None for moment in alone)


@pytest.mark.parametrize("how", ["", "frozen", "flat"])
def test_a_lost_camera_is_missing_within_a_second(how: str) -> None:
    rig = Rig()
    rig.run(2)
    found = used(rig.run(1, infrared=how))
    assert found[-1] == "rgb"


def test_no_frame_is_passed_twice_and_stamps_never_step_back() -> None:
    rig = Rig()
    for how in ("live", "", "live", "frozen", "live", "flat", "live"):
        rig.run(2, infrared=how)
        rig.run(2, rgb=how)
    stamps = [moment.stamp_ns for moment in rig.moments]
    assert stamps == sorted(set(stamps))


def test_when_the_camera_comes_back_pairs_do_without_a_gap() -> None:
    rig = Rig()
    rig.run(2)
    rig.run(3, infrared="")
    back = rig.run(3)
    assert len(back) == 30
    assert used(back)[0] == "rgb"
    assert used(back)[-1] == "both"


def test_time_alone_brings_the_newest_frame_of_the_living_camera() -> None:
    rig = Rig()
    rig.run(2)
    rig.now_ns += PERIOD
    assert rig.send("rgb", "live", rig.now_ns) == []
    (moment,) = rig.single.advance(rig.now_ns + round(0.45 * S))
    assert moment.rgb == Picture(rig.now_ns, "rgb")
    assert moment.infrared is None


def test_a_camera_that_never_starts_is_not_waited_for_longer_than_the_time_set() -> None:
    rig = Rig(after_s=1.0)
    assert rig.run(0.9, infrared="") == []
    assert used(rig.run(2, infrared=""))[-1] == "rgb"


def test_where_the_master_is_missing_the_stamp_is_the_living_cameras_on_the_masters_clock() -> None:
    rig = Rig(time_offset_s=0.25)
    rig.run(2, late_ns=S // 4)
    moment = rig.run(2, rgb="", late_ns=S // 4)[-1]
    assert moment.infrared is not None
    assert moment.stamp_ns == moment.infrared.stamp_ns - S // 4


def test_both_cameras_blind_are_processed_as_they_are_and_said() -> None:
    rig = Rig()
    rig.run(2)
    moments = rig.run(3, infrared="frozen", rgb="frozen")
    assert used(moments) == ["both"] * 30
    assert set(moments[-1].cameras.conditions.values()) == {Condition.FROZEN}


def test_a_blind_camera_goes_on_where_the_other_one_is_silent() -> None:
    rig = Rig()
    rig.run(2)
    assert used(rig.run(3, infrared="", rgb="flat"))[-1] == "rgb"


def test_policy_stop_gives_nothing_without_both_cameras() -> None:
    rig = Rig(policy="stop")
    rig.run(2)
    rig.run(1, infrared="flat")
    assert rig.run(2, infrared="flat") == []
    assert rig.run(2, infrared="") == []
    assert rig.single.drops["blind"] > 0


def test_cameras_that_never_pair_leave_the_master_alone_and_it_is_said() -> None:
    rig = Rig()
    rig.run(2)
    rig.run(3, late_ns=5 * S)
    moments = rig.run(2, late_ns=5 * S)
    assert used(moments) == ["rgb"] * 20
    assert moments[-1].cameras.conditions["infrared"] is Condition.UNPAIRED
    rig.run(1)
    assert used(rig.run(2)) == ["both"] * 20


def test_the_report_says_in_words_what_is_wrong() -> None:
    rig = Rig()
    rig.run(2)
    rig.run(2, infrared="frozen")
    (line,) = rig.single.report(rig.now_ns).lines
    assert line.startswith("infrared: the picture is frozen")


@pytest.mark.parametrize("wrong", [{"policy": "maybe"}, {"after_s": 0.0}, {"after_s": 1e9}])
def test_wrong_settings_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match="single_camera"):
        SingleCameraConfig(**wrong)
