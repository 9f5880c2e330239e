# SPDX-License-Identifier: Apache-2.0
import math

import cv2
import numpy as np
import pytest

from segmif_ros.evaluation import fusion_metrics as metrics
from segmif_ros.trials.metric_agreement import pattern

RAMP = np.array([[0, 3], [4, 3]], np.uint8)


@pytest.fixture(scope="module")
def images():
    """Infrared, visible and fused, 72x88, smooth enough to be correlated."""
    rng = np.random.default_rng(5)
    base = cv2.resize(rng.integers(0, 256, (9, 11)).astype(np.float32), (88, 72), interpolation=cv2.INTER_CUBIC)

    def noisy(image, sigma):
        return np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)

    infrared, visible = noisy(base, 8), noisy(255 - 0.7 * base, 12)
    return infrared, visible, metrics.BASELINES["average"](infrared, visible)


def slow_ssim(x, y, data_range):
    place = np.arange(11) - 5
    line = np.exp(-(place**2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.sum(line) ** 2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    values = []
    for row in range(x.shape[0] - 10):
        for column in range(x.shape[1] - 10):
            p, q = (image[row : row + 11, column : column + 11].astype(float) for image in (x, y))
            mp, mq = np.sum(window * p), np.sum(window * q)
            vp, vq = np.sum(window * (p - mp) ** 2), np.sum(window * (q - mq) ** 2)
            vpq = np.sum(window * (p - mp) * (q - mq))
            values.append((2 * mp * mq + c1) * (2 * vpq + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2)))
    return np.mean(values)


def test_entropy_of_four_equally_frequent_levels_is_two_bits():
    assert metrics.entropy(np.array([[0, 50], [100, 200]], np.uint8)) == pytest.approx(2.0)


def test_entropy_of_a_constant_image_is_zero():
    assert metrics.entropy(np.full((3, 3), 7, np.uint8)) == 0.0


def test_standard_deviation_is_the_population_one():
    assert metrics.standard_deviation(RAMP) == pytest.approx(1.5)


def test_spatial_frequency_of_the_hand_count():
    # differences along rows: 3, -1; down columns: 4, 0
    assert metrics.spatial_frequency(RAMP) == pytest.approx(math.sqrt((9 + 1) / 2 + (16 + 0) / 2))


def test_average_gradient_of_a_plane_is_the_same_everywhere():
    y, x = np.mgrid[0:5, 0:6]
    plane = (3 * x + 4 * y).astype(np.uint8)
    assert metrics.average_gradient(plane) == pytest.approx(math.sqrt((9 + 16) / 2))


def test_the_t_convention_divides_the_gradient_sum_by_one_row_and_column_less():
    y, x = np.mgrid[0:5, 0:6]
    plane = (3 * x + 4 * y).astype(np.uint8)
    expected = math.sqrt(12.5) * 30 / 20
    assert metrics.average_gradient(plane, divisor="inner") == pytest.approx(expected)


def test_mutual_information_with_itself_twice_is_twice_the_entropy():
    image = np.array([[0, 50], [100, 200]], np.uint8)
    assert metrics.mutual_information(image, image, image) == pytest.approx(4.0)


def test_mutual_information_counts_what_each_source_tells_of_the_fused_image():
    # the first source tells which half a pixel is in, 1 bit of 2; the second tells nothing that is fused
    fused, half, other = (np.array([levels], np.uint8) for levels in ([0, 0, 9, 9], [5, 5, 7, 7], [1, 2, 1, 2]))
    assert metrics.mutual_information(half, other, fused) == pytest.approx(1.0)


def test_mutual_information_with_a_constant_is_zero():
    image, flat = np.array([[0, 50], [100, 200]], np.uint8), np.full((2, 2), 9, np.uint8)
    assert metrics.mutual_information(flat, flat, image) == pytest.approx(0.0)


def test_toolbox_c_gives_mutual_information_in_nats(images):
    values = metrics.fusion_metrics(*images, names=("MI", "MI_C"))
    assert values["MI_C"] == pytest.approx(values["MI"] * math.log(2))


def test_mse_and_psnr_of_the_hand_count():
    a, b, f = (np.full((2, 2), level, np.uint8) for level in (10, 30, 20))
    assert metrics.mean_squared_error(a, b, f) == 100.0
    assert metrics.psnr(a, b, f) == pytest.approx(10 * math.log10(255**2 / 100))


def test_toolboxes_t_and_z_overstate_psnr_by_48_db(images):
    values = metrics.fusion_metrics(*images, names=("PSNR", "PSNR_TZ"))
    assert values["PSNR_TZ"] - values["PSNR"] == pytest.approx(48.13, abs=0.005)


def test_psnr_of_equal_images_is_infinite(images):
    assert metrics.psnr(images[0], images[0], images[0]) == math.inf


def row(*levels):
    return np.array([levels], np.uint8)


def test_correlation_of_the_hand_count():
    # deviations (-1, 0, 1) against (-1, 1, 0): 1 / 2; against (1, 0, -1): -1
    assert metrics.correlation(row(0, 2, 1), row(2, 1, 0), row(0, 1, 2)) == pytest.approx((0.5 - 1) / 2)


def test_scd_of_the_hand_count():
    # F - B = (0, 0, 3) with A: 3 / sqrt(6 * 2); F - A = (0, 1, 2) with B: 1 / 2
    value = metrics.sum_of_correlations_of_differences(row(0, 1, 2), row(0, 2, 1), row(0, 2, 4))
    assert value == pytest.approx(3 / math.sqrt(12) + 0.5)


def test_correlation_is_numpys(images):
    a, b, f = (image.ravel() for image in images)
    expected = (np.corrcoef(a, f)[0, 1] + np.corrcoef(b, f)[0, 1]) / 2
    assert metrics.correlation(*images) == pytest.approx(expected)


def test_scd_of_a_sum_is_two():
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 120, (2, 8, 9), dtype=np.uint8)
    # the difference of the sum with one source is exactly the other source
    assert metrics.sum_of_correlations_of_differences(a, b, a + b) == pytest.approx(2.0)


def test_ssim_of_two_grey_levels_is_that_of_their_means():
    flat, darker = np.full((12, 12), 100, np.uint8), np.full((12, 12), 50, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 50 + c1) / (100**2 + 50**2 + c1)
    assert metrics.structural_similarity(flat, darker) == pytest.approx(expected)
    assert metrics.fusion_ssim(flat, darker, flat) == pytest.approx((1 + expected) / 2)


def test_ssim_equals_the_window_by_window_definition(images):
    a, f = images[0][:24, :20], images[2][:24, :20]
    assert metrics.structural_similarity(a, f) == pytest.approx(slow_ssim(a, f, 255.0))
    assert metrics.structural_similarity(a, f, 1.0) == pytest.approx(slow_ssim(a, f, 1.0))


def test_vif_of_an_image_with_itself_is_one_per_source(images):
    assert metrics.visual_information_fidelity(images[0], images[0], images[0]) == pytest.approx(2.0, abs=1e-6)


def test_vif_of_a_chequerboard_at_half_contrast_is_the_ratio_of_logarithms():
    board = 40.0 * (2 * (np.indices((80, 80)).sum(axis=0) % 2) - 1)
    source, fused = 100 + board, 100 + board / 2
    # one local variance, 40^2, that the first scale alone sees; noise variance 2; gain 1/2 and nothing left over
    expected = math.log(1 + 0.25 * 1600 / 2) / math.log(1 + 1600 / 2)
    assert metrics.visual_information_fidelity(source, fused, fused) == pytest.approx(expected + 1, abs=1e-3)


def test_vif_falls_with_blur_and_rises_with_contrast(images):
    image = images[0]
    blurred = cv2.GaussianBlur(image, (0, 0), 2)
    stronger = np.clip(1.15 * (image.astype(float) - image.mean()) + image.mean(), -100, 400)
    assert metrics.visual_information_fidelity(image, image, blurred) < 1.5
    assert metrics.visual_information_fidelity(image, image, stronger) > 2.0


def test_edge_transfer_of_the_source_itself_is_nearly_one(images):
    # orientation is kept exactly: 0.9879 / (1 + e^-4.4); equal strengths count with the strength itself, which takes
    # the other sigmoid to its end
    expected = 0.9994 * 0.9879 / (1 + math.exp(-4.4))
    assert metrics.edge_transfer(images[0], images[0], images[0]) == pytest.approx(expected, abs=1e-3)


def test_edge_transfer_at_half_the_contrast_is_half_the_strength(images):
    source, black = images[0].astype(float), np.zeros_like(images[0])
    # every edge at half its strength, the middle of that sigmoid, and in its own direction; black has no edges
    expected = 0.9994 / 2 * 0.9879 / (1 + math.exp(-4.4))
    assert metrics.edge_transfer(source, black, source / 2) == pytest.approx(expected)


def test_edge_transfer_of_a_flat_image_is_nearly_zero(images):
    # black, because the zero padding of the definition makes an edge around anything else
    assert metrics.edge_transfer(images[0], images[1], np.zeros_like(images[0])) < 0.001


def test_a_source_itself_and_a_flat_image_have_no_fusion_artefacts(images):
    assert metrics.fusion_artefacts(images[0], images[1], images[0]) == 0
    assert metrics.fusion_artefacts(images[0], images[1], np.zeros_like(images[0])) == 0


def test_fusion_artefacts_at_double_contrast_are_the_lost_half_of_the_strength(images):
    source = images[0].astype(float)
    # every edge is twice as strong as in both sources, in its own direction: the middle of the strength's sigmoid and
    # the end of the direction's; where there is no edge at all nothing is new
    kept = math.sqrt(0.9999 / 2 * 0.9995 / (1 + math.exp(-11)))
    assert metrics.fusion_artefacts(source, source, 2 * source) == pytest.approx(1 - kept, abs=1e-6)


def test_every_metric_is_finite_for_ordinary_images(images):
    names = tuple(each for each in metrics.TEXTBOOK_METRICS + metrics.TOOLBOX_METRICS if each != "MS_SSIM")
    values = metrics.fusion_metrics(*images, names=names)
    assert tuple(values) == names
    assert all(math.isfinite(value) for value in values.values())


def test_ms_ssim_has_no_value_where_its_coarsest_window_does_not_fit(images):
    assert math.isnan(metrics.fusion_metrics(*images, names=("MS_SSIM",))["MS_SSIM"])


def test_an_unknown_metric_is_refused_with_the_known_ones_listed(images):
    with pytest.raises(ValueError, match="Qabf"):
        metrics.fusion_metrics(*images, names=("QABF",))


def test_sources_of_different_size_are_refused(images):
    with pytest.raises(ValueError, match="visible image is"):
        metrics.fusion_metrics(images[0], images[1][:-1], images[2])


def test_the_command_prints_the_metrics_of_a_baseline(tmp_path, capsys, images):
    for name, image in zip(("ir", "vis"), images, strict=False):
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    assert metrics.main([str(tmp_path / "ir.png"), str(tmp_path / "vis.png"), "average"]) == 0
    lines = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert float(lines["EN"]) == pytest.approx(metrics.entropy(images[2]), rel=1e-5)


def test_the_command_names_a_file_that_is_no_image(tmp_path, capsys):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    assert metrics.main([str(broken), str(broken), "average"]) == 2
    assert "broken.png: not a readable image" in capsys.readouterr().err


def slow_artefacts(a, b, f):
    """Kumar's modified fusion artefacts, pixel by pixel from the published formula."""

    def edges(image):
        wide = np.pad(image.astype(float), 1, mode="reflect")
        strength, angle = np.zeros(image.shape), np.zeros(image.shape)
        for row, column in np.ndindex(image.shape):
            part = wide[row : row + 3, column : column + 3]
            down = (part[2] - part[0]) @ (1, 2, 1) / 8
            right = (part[:, 2] - part[:, 0]) @ (1, 2, 1) / 8
            strength[row, column] = math.hypot(down, right)
            angle[row, column] = math.atan(right / down) if down else math.copysign(math.pi / 2, right) if right else 0
        return strength, angle

    (ga, aa), (gb, ab), (gf, af) = edges(a), edges(b), edges(f)
    new = weights = 0.0
    for at in np.ndindex(a.shape):
        lost = 0.0
        for g, angle in ((ga, aa), (gb, ab)):
            relative = min(g[at], gf[at]) / max(g[at], gf[at]) if g[at] and gf[at] else 0.0
            turned = abs(abs(angle[at] - af[at]) - math.pi / 2) * 2 / math.pi
            kept = 0.9999 / (1 + math.exp(-19 * (relative - 0.5))) * 0.9995 / (1 + math.exp(-22 * (turned - 0.5)))
            weight = g[at] ** 1.5 if g[at] >= 2 else 0.001
            lost += (1 - math.sqrt(kept)) * weight
            weights += weight
        new += lost if gf[at] > ga[at] and gf[at] > gb[at] else 0.0
    return new / weights


@pytest.mark.parametrize("rule", metrics.BASELINES)
def test_fusion_artefacts_are_those_of_the_published_formula(images, rule):
    a, b = (image[:40, :44] for image in images[:2])
    fused = metrics.BASELINES[rule](a, b)
    assert metrics.fusion_artefacts(a, b, fused) == pytest.approx(slow_artefacts(a, b, fused), rel=1e-9, abs=1e-12)


def test_the_frame_of_an_image_is_no_edge():
    a, b = np.full((16, 16), 90, np.uint8), np.full((16, 16), 60, np.uint8)
    assert metrics.fusion_artefacts(a, b, np.full((16, 16), 255, np.uint8)) == 0


# Of `pattern`: EN, SSIM, SSIM_C, MSE, PSNR by scikit-image 0.26, CC and SCD by scipy 1.17, VIF by sewar 0.4 and
# torchmetrics 1.9, MI by scikit-learn: `python -m segmif_ros.trials.metric_agreement` prints ours beside theirs. Those
# that no library has are held by plain loops from their published formulas: above and test_fusion_definitions.py.
GOLDEN = {
    "EN": 7.380969351134045,
    "MI": 2.458365117364016,
    "SCD": 1.4726650439408617,
    "VIF": 0.36859355850020087,
    "SSIM": 0.5911577104691097,
    "SSIM_C": 0.9354113240202484,
    "CC": 0.6995725989317867,
    "MSE": 1534.8792021780303,
    "PSNR": 16.270061594858937,
    "MS_SSIM": 0.6268009437322299,
    "SD": 40.8043985993214,
    "SF": 7.7815215540039775,
    "AG": 4.853131565216283,
    "Qabf": 0.34205274899033145,
    "Nabf": 0.0015765280770434066,
    "AG_T": 4.906418006037057,
    "MI_C": 1.7040088498877866,
    "MSE_TZ": 0.023604447553679818,
    "PSNR_C": 15.597498045581965,
    "PSNR_TZ": 64.40086520353803,
    "SSIM_T": 0.4656921972437118,
    "SSIM_Z": 0.9313843944874236,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_every_metric_has_its_golden_value(name):
    assert metrics.fusion_metrics(*pattern(), names=(name,))[name] == pytest.approx(GOLDEN[name], rel=1e-9)


def test_no_metric_lacks_a_golden_value():
    assert set(GOLDEN) == {*metrics.TEXTBOOK_METRICS, *metrics.TOOLBOX_METRICS}


def test_an_image_too_small_for_a_metric_is_refused_by_the_metrics_name():
    images = [np.random.default_rng(i).integers(0, 255, (40, 40), np.uint8) for i in range(3)]
    with pytest.raises(ValueError, match="40x40 is too small for VIF, which needs 41 pixels a side"):
        metrics.fusion_metrics(*images, names=("EN", "VIF"))
    assert metrics.fusion_metrics(*(np.pad(image, (0, 1)) for image in images), names=("VIF",))["VIF"] > 0
