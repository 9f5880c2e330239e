# SPDX-License-Identifier: Apache-2.0
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from segmif_ros.data.mixture import SceneSource
from segmif_ros.evaluation import weights_report
from segmif_ros.evaluation.fusion import BASELINES, entropy, luma
from segmif_ros.inference.engine import EngineResult
from segmif_ros.labels import CAMVID, FMB
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint
from segmif_ros.training import read_recipe


class BrightIsRoad:
    """Calls a pixel road where the chosen input is brighter than 100, sky elsewhere; fuses by the average."""

    label_set = FMB
    model_name = "fake"
    model_hash = "0"
    device_name = "cpu"

    def __init__(self):
        self.pairs = []

    def warm_up(self, height, width):
        """Nothing."""

    def infer(self, infrared, rgb):
        self.pairs.append((infrared, rgb))
        labels = np.where(luma(rgb) > 100, FMB.id_of("road"), FMB.id_of("sky")).astype(np.uint8)
        grey = BASELINES["average"](infrared, luma(rgb))
        return EngineResult(fused=np.dstack([grey] * 3), labels=labels, confidence=np.zeros_like(labels))


@pytest.fixture(scope="module")
def scenes():
    engine = BrightIsRoad()
    return weights_report.report_scenes(engine, 1), engine


def test_each_lighting_is_measured_with_both_inputs_and_each_alone(scenes):
    figures, engine = scenes
    assert list(figures["segmentation"]) == ["day", "all", "dusk", "night"]
    assert set(figures["segmentation"]["day"]) == {"fused", "RGB alone", "infrared alone"}
    assert len(engine.pairs) == 9


def test_infrared_alone_sees_black_rgb_and_rgb_alone_a_constant_infrared(scenes):
    _, engine = scenes
    (infrared, rgb), (constant, same_rgb), (same_infrared, black) = engine.pairs[:3]
    assert np.ptp(constant) == 0
    assert not black.any()
    assert np.array_equal(rgb, same_rgb)
    assert np.array_equal(infrared, same_infrared)


def test_the_iou_of_a_class_is_the_pixel_count_of_the_scenes(scenes):
    figures, _ = scenes
    size = {"height": weights_report.SCENE_HEIGHT, "width": weights_report.SCENE_WIDTH}
    sample = SceneSource(first_seed=weights_report.FIRST_SEED, count=1, **size).sample(0, np.random.default_rng(0))
    truth, prediction = sample.labels == FMB.id_of("road"), luma(sample.rgb) > 100
    expected = np.sum(truth & prediction) / np.sum(truth | prediction)
    assert figures["segmentation"]["day"]["RGB alone"]["iou"]["road"] == pytest.approx(expected)


def test_the_unlabelled_class_is_in_no_mean(scenes):
    figures, _ = scenes
    fused = figures["segmentation"]["all"]["fused"]
    assert len(fused["classes_fixed"]) == 14
    assert "unlabelled" not in fused["classes_present"]


def test_a_model_that_averages_has_the_figures_of_the_average(scenes):
    fusion = scenes[0]["fusion"]
    assert fusion["model"] == pytest.approx(fusion["average"])
    both = fusion["model"]["SSIM infrared"], fusion["model"]["SSIM RGB"]
    assert fusion["model"]["SSIM"] == pytest.approx(sum(both) / 2)
    assert fusion["maximum"]["EN"] != fusion["average"]["EN"]


def test_the_seeds_of_the_report_are_no_training_seeds():
    config = read_recipe(Path(__file__).parents[2] / "config/training/segmif-s.yaml")
    ranges = [range(each.first_seed, each.first_seed + each.count) for each in (*config.sources, *config.validation)]
    assert not any(weights_report.FIRST_SEED + i in seeds for seeds in ranges for i in range(3000))


def test_night_keeps_the_order_of_levels_and_little_light():
    rgb = np.repeat(np.repeat(np.array([[30, 120, 240]], np.uint8), 400, axis=0)[..., None], 3, axis=2)
    dark = weights_report.night(rgb)
    means = dark.mean(axis=(0, 2))
    assert means[0] < means[1] < means[2] < 100
    assert np.array_equal(dark, weights_report.night(rgb))


@pytest.fixture
def pairs(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("infrared", "visible"):
        (tmp_path / "road" / folder).mkdir(parents=True)
        for i in range(8):
            coarse = rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)
            image = cv2.resize(coarse, (80, 72), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "road" / folder / f"{i}.png"), image)
    return tmp_path / "road"


def test_real_pairs_are_measured_on_the_held_out_part(pairs, tmp_path):
    engine = BrightIsRoad()
    figures = weights_report.report_pairs(engine, pairs, 4, tmp_path / "sheet.png")
    assert figures["pairs"] == 2
    fourth = cv2.cvtColor(cv2.imread(str(pairs / "infrared/3.png")), cv2.COLOR_BGR2GRAY)
    assert np.array_equal(engine.pairs[0][0], fourth)
    visible = luma(engine.pairs[0][1])
    first = entropy(BASELINES["average"](fourth, visible))
    second = entropy(BASELINES["average"](engine.pairs[1][0], luma(engine.pairs[1][1])))
    assert figures["fusion"]["model"]["EN"] == pytest.approx((first + second) / 2)
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] == 5 * 320


def test_camvid_is_measured_over_the_ten_classes_that_map(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / "val" / folder).mkdir(parents=True)
    labels = np.full((72, 80), CAMVID.id_of("road"), np.uint8)
    labels[:20], labels[20:30] = CAMVID.id_of("sky"), CAMVID.id_of("fence")
    rgb = np.where((labels == CAMVID.id_of("road"))[..., None], 200, 20).astype(np.uint8).repeat(3, axis=2)
    cv2.imwrite(str(tmp_path / "val/images/a.png"), rgb)
    cv2.imwrite(str(tmp_path / "val/labels/a.png"), labels)
    figures = weights_report.report_camvid(BrightIsRoad(), tmp_path, "val")["segmentation"]
    assert figures["RGB"]["classes_present"] == ["road", "sky"]
    assert figures["RGB"]["miou_present"] == 1.0
    assert figures["RGB"]["miou_fixed"] == pytest.approx(2 / 10)
    # at night nothing is brighter than 100: all is called sky
    assert figures["night RGB"]["iou"]["road"] == 0.0


def test_the_command_prints_and_writes_the_same_figures(tmp_path, capsys, pairs):
    config = SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=8)
    file = tmp_path / "tiny.safetensors"
    save_checkpoint(SegMiF(config), file, {"name": "tiny", "label_set": "fmb", "prior": "mean"})
    out = tmp_path / "out"
    command = ["--weights", str(file), "--scenes", "1", "--pairs", str(pairs), "--out", str(out)]
    assert weights_report.main(command) == 0
    text = capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert text.startswith("weights tiny (")
    day = report["scenes"]["segmentation"]["day"]["fused"]
    assert f"{100 * day['miou_present']:.1f}; {100 * day['miou_fixed']:.1f}" in text
    assert f"{report['pairs']['road']['fusion']['model']['Qabf']:.3f}" in text
    assert (out / "scenes.png").is_file()


def test_weights_that_do_not_exist_end_in_one_line(tmp_path, capsys):
    assert weights_report.main(["--weights", str(tmp_path / "none.safetensors"), "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "none.safetensors" in error
    assert len(error.splitlines()) == 1
