# SPDX-License-Identifier: Apache-2.0
"""What is measured on labelled data, with an engine whose answers can be worked out."""

import numpy as np
import pytest
import torch

from segmif_ros.data.camvid import CamVid
from segmif_ros.data.mixture import SceneSource
from segmif_ros.evaluation.card.camvid_part import _merge, report_camvid
from segmif_ros.evaluation.card.conditions import FIRST_SEED, SCENE_HEIGHT, SCENE_WIDTH, SHIFTS_PX
from segmif_ros.evaluation.card.night_loss import Comparison, RgbReference, night_loss
from segmif_ros.evaluation.card.scenes_part import report_scenes
from segmif_ros.evaluation.card.sheets import Gallery
from segmif_ros.evaluation.fusion_metrics import BASELINES, luma, structural_similarity
from segmif_ros.evaluation.segmentation_metrics import ConfusionMatrix
from segmif_ros.labels import CAMVID, FMB


@pytest.fixture(scope="module")
def scenes(fake_engine):
    """Report of one scene of each lighting, the engine that was asked, and the number that was reported as done."""
    engine, done = fake_engine(), []
    return report_scenes(engine, 1, Gallery(FMB), done.append), engine, sum(done)


@pytest.fixture(scope="module")
def first_scene():
    source = SceneSource(first_seed=FIRST_SEED, count=1, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    return source.sample(0, np.random.default_rng(0))


def test_each_lighting_is_measured_with_both_inputs_and_each_alone(scenes):
    figures, engine, done = scenes
    assert list(figures["segmentation"]) == ["day", "dusk", "night", "all"]
    assert all(set(each) == {"fused", "RGB alone", "infrared alone"} for each in figures["segmentation"].values())
    assert len(engine.pairs) == 3 * (3 + len(SHIFTS_PX) - 1)
    assert done == 3


def test_the_iou_of_a_class_is_the_pixel_count_of_the_scenes(scenes, first_scene):
    truth, prediction = first_scene.labels == FMB.id_of("road"), luma(first_scene.rgb) > 100
    expected = np.sum(truth & prediction) / np.sum(truth | prediction)
    assert scenes[0]["segmentation"]["day"]["RGB alone"]["iou"]["road"] == pytest.approx(expected)


def test_the_unlabelled_class_is_in_no_mean(scenes):
    fused = scenes[0]["segmentation"]["all"]["fused"]
    assert len(fused["classes_fixed"]) == 14
    assert "unlabelled" not in fused["classes_present"]


def test_infrared_is_moved_and_rgb_stays(scenes, first_scene):
    _, engine, _ = scenes
    moved = engine.pairs[3:6]
    assert all(np.array_equal(rgb, first_scene.rgb) for _, rgb in moved)
    assert not any(np.array_equal(infrared, first_scene.infrared) for infrared, _ in moved)
    assert all(np.isin(infrared, first_scene.infrared).all() for infrared, _ in moved)  # nothing is interpolated


def test_an_engine_that_sees_rgb_alone_loses_nothing_by_misregistration(scenes):
    figures = scenes[0]
    assert list(figures["misregistration"]) == ["0", "2", "4", "8"]
    first = figures["misregistration"]["0"]
    assert all(each == first for each in figures["misregistration"].values())
    assert first["all"] == figures["segmentation"]["all"]["fused"]["miou_present"]


def test_what_is_left_of_a_missing_camera_is_compared_with_the_other_image(fake_engine):
    figures = report_scenes(fake_engine(), 1, Gallery(FMB), lambda _: None)["missing"]
    source = SceneSource(first_seed=FIRST_SEED, count=3, height=SCENE_HEIGHT, width=SCENE_WIDTH)
    expected = []
    for index in range(3):
        infrared = source.sample(index, np.random.default_rng(0)).infrared
        expected.append(structural_similarity(infrared, BASELINES["average"](infrared, np.zeros_like(infrared))))
    assert figures["RGB"]["ssim"] == pytest.approx(np.mean(expected))
    assert figures["RGB"]["contrast"] == pytest.approx(0.5, abs=0.01)
    assert figures["infrared"]["contrast"] == pytest.approx(0.5, abs=0.01)


@pytest.fixture
def camvid(camvid_root, engine, advance):
    return report_camvid(engine, CamVid(camvid_root, "val"), None, Gallery(FMB), advance)


def test_camvid_is_measured_over_the_ten_classes_that_map(camvid):
    figures = camvid["segmentation"]
    assert figures["RGB"]["classes_present"] == ["road", "sky"]
    assert figures["RGB"]["miou_present"] == 1.0
    assert figures["RGB"]["miou_fixed"] == pytest.approx(2 / 10)
    assert camvid["images"] == 1


def test_camvid_is_darkened(camvid):
    # at night nothing is brighter than 100: all is called sky
    assert camvid["segmentation"]["night RGB"]["iou"]["road"] == 0.0


def test_rgb_alone_has_grey_infrared_and_the_other_input_invented_one(camvid_root, engine, advance):
    report_camvid(engine, CamVid(camvid_root, "val"), None, Gallery(FMB), advance)
    (grey, _), (invented, _), (night_grey, _), (night_invented, _) = engine.pairs
    assert np.all(grey == 128)
    assert np.ptp(invented) > 10
    assert np.array_equal(night_grey, grey)
    assert np.array_equal(night_invented, invented)


def test_predictions_finer_than_camvids_classes_are_folded_in_the_merged_figures():
    matrix = ConfusionMatrix(len(FMB))
    car, bus, road = (FMB.id_of(name) for name in ("car", "bus", "road"))
    matrix.update(np.array([car, car, road]), np.array([car, bus, bus]))
    merged = _merge(matrix)
    assert merged.counts[car, car] == 2
    assert merged.counts[road, car] == 1
    assert merged.counts.sum() == 3
    assert matrix.counts[car, bus] == 1


@pytest.mark.parametrize(
    ("night_rgb", "night_both", "ratio", "less"),
    [(0.3, 0.45, 0.75, False), (0.3, 0.55, 0.25, True), (0.5, 0.5, None, None), (0.3, 0.65, -0.25, True)],
)
def test_less_than_half_is_about_what_the_night_takes_away(night_rgb, night_both, ratio, less):
    names = ("RGB", "night RGB", "RGB with invented infrared", "night RGB with invented infrared")
    loss = night_loss(dict(zip(names, (0.5, night_rgb, 0.6, night_both), strict=True)))
    assert loss["without infrared"] == pytest.approx(0.5 - night_rgb)
    assert loss["ratio"] is None if ratio is None else loss["ratio"] == pytest.approx(ratio)
    assert loss["less_than_half"] is less


class BrightIsRoad(torch.nn.Module):
    """A reference of CamVid's classes: road where it is bright, ``dark`` elsewhere."""

    def __init__(self, dark="sky"):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(0.4))
        self.dark = dark

    def segment(self, plane):
        logits = torch.zeros(1, len(CAMVID), *plane.shape[-2:])
        logits[:, CAMVID.id_of("road")] = plane.mean(dim=1) - self.level
        logits[:, CAMVID.id_of(self.dark)] = self.level - plane.mean(dim=1)
        return logits


def reference(dark="sky"):
    return RgbReference(name="rgb", sha256="0", model=BrightIsRoad(dark), label_set=CAMVID)


def test_an_rgb_only_reference_is_scored_by_day_and_night_over_the_classes_of_both(camvid_root, engine, advance):
    data = CamVid(camvid_root, "val")
    found = report_camvid(engine, data, None, Gallery(FMB), advance, reference())["rgb_reference"]
    sky_of_all = 20 / (20 + 42)  # at night all is called sky; the strip of fence is no truth
    assert len(found["classes"]) == 10
    assert found["night"]["RGB-only model"] == pytest.approx(
        {"day": 0.2, "night": sky_of_all / 10, "lost": 0.2 - sky_of_all / 10}
    )
    assert found["night"]["with infrared"] == pytest.approx(found["night"]["RGB-only model"])
    assert found["ratio"] == pytest.approx(1)
    assert found["less_than_half"] is False


def test_a_class_that_the_weights_lack_is_a_wrong_answer_of_the_reference(camvid_root, engine, advance):
    data = CamVid(camvid_root, "val")
    found = report_camvid(engine, data, None, Gallery(FMB), advance, reference("fence"))["rgb_reference"]
    assert found["night"]["RGB-only model"]["day"] == pytest.approx(0.1)


def test_finer_classes_of_either_count_as_camvids_coarser_ones():
    comparison = Comparison(reference(), FMB)
    truth = np.full((2, 4), FMB.id_of("car"), np.uint8)
    truth[0, 0], truth[0, 1] = FMB.id_of("bicycle"), 255
    found = np.full((2, 4), FMB.id_of("bus"), np.uint8)
    found[0, 0], found[0, 1] = FMB.id_of("motorcycle"), FMB.id_of("road")
    rgb = np.zeros((2, 4, 3), np.uint8)
    for name in ("RGB", "night RGB", "RGB with invented infrared", "night RGB with invented infrared"):
        comparison.add(name, rgb, truth, found)
    assert comparison.figures()["night"]["with infrared"]["day"] == pytest.approx(2 / 10)


def test_a_model_of_camvids_own_classes_is_measured_without_unlabelled(camvid_root, fake_engine, advance):
    data = CamVid(camvid_root, "val", "camvid")
    figures = report_camvid(fake_engine(CAMVID), data, None, Gallery(CAMVID), advance)
    assert figures["segmentation"]["RGB"]["classes_fixed"] == list(CAMVID.names[:11])
    assert "merged" not in figures
