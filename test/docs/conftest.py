# SPDX-License-Identifier: Apache-2.0
"""A folder with the files that the pages name, as small as they can be."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from documentation import ROOT
from torch_fixtures import one_thread, own_cache

from segmif_ros.bag.messages import IMAGE, image_message
from segmif_ros.bag.record_synthetic import START_NS
from segmif_ros.bag.writing import new_bag
from segmif_ros.inference.backends import missing_packages
from segmif_ros.inference.sample_pairs import pattern_pairs
from segmif_ros.labels import FMB
from segmif_ros.model import SegMiF, SegMiFConfig, save_checkpoint

__all__ = ["one_thread", "own_cache"]
HEIGHT, WIDTH = 64, 96

CAMERA = {
    "camera_matrix": [[80, 0, WIDTH / 2], [0, 80, HEIGHT / 2], [0, 0, 1]],
    "distortion_model": "plumb_bob",
    "distortion_coefficients": [0, 0, 0, 0, 0],
}
CALIBRATION = {
    "infrared": {"image_width": WIDTH, "image_height": HEIGHT, **CAMERA},
    "rgb": {"image_width": WIDTH, "image_height": HEIGHT, **CAMERA},
    "extrinsics": {"rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "translation_m": [0.06, 0, 0]},
}
RECIPE = {
    "name": "tiny",
    "steps": 4,
    "batch_size": 1,
    "num_threads": 1,
    "model": {"encoder": "mit_b0", "fusion_channels": 8, "growth": 4, "fusion_scale": 4, "decoder_channels": 8},
    "sources": [{"kind": "pairs", "path": "train", "augment": {"crop_height": 32, "crop_width": 32}}],
    "validation": [{"kind": "pairs", "path": "test"}],
    "validation_samples": 1,
}


def _pairs(root: Path, infrared: str = "infrared", visible: str = "visible", labels: str = "") -> None:
    for folder in filter(None, (infrared, visible, labels)):
        (root / folder).mkdir(parents=True)
    for name, (grey, rgb) in zip("ab", pattern_pairs(HEIGHT, WIDTH, count=2), strict=True):
        assert cv2.imwrite(str(root / infrared / f"{name}.png"), grey)
        assert cv2.imwrite(str(root / visible / f"{name}.png"), rgb[..., ::-1])
        if labels:
            assert cv2.imwrite(str(root / labels / f"{name}.png"), np.full((HEIGHT, WIDTH), 1, np.uint8))


def _video(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for level in (60, 160):
        writer.write(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
    writer.release()


def _recording(folder: Path, infrared: str, rgb: str, labels: str) -> Path:
    """Write a bag of two labelled pairs; return its mcap file."""
    with new_bag(folder, "mcap") as bag:
        for i, (grey, colour) in enumerate(pattern_pairs(HEIGHT, WIDTH, count=2)):
            truth = np.full((HEIGHT, WIDTH), FMB.id_of("person"), np.uint8)
            for topic, image, encoding in ((infrared, grey, "mono8"), (rgb, colour, "rgb8"), (labels, truth, "mono8")):
                stamp_ns = START_NS + i * 100_000_000
                bag.write(topic, IMAGE, stamp_ns, image_message(image, encoding, stamp_ns, "camera"))
    (file,) = folder.glob("*.mcap")
    return file


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, pairs, videos, data sets, weights, recipes and a calibration, by the names that the pages use."""
    root = tmp_path_factory.mktemp("world")
    (root / "config").symlink_to(ROOT / "config")
    torch.manual_seed(0)
    config = SegMiFConfig(encoder="mit_b0", fusion_channels=8, growth=4, fusion_scale=4, decoder_channels=8)
    weights = root / "tiny.safetensors"
    save_checkpoint(SegMiF(config), weights, {"name": "tiny", "label_set": "fmb", "prior": "mean"})
    for name in ("a", "b", "TEACHER", "runs/mine/last", "runs/segmif-s-fusion/last"):
        copy = root / f"{name}.safetensors"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(weights, copy)
    _pairs(root / "FOLDER")
    _pairs(root / "DATA" / "own")
    for split in ("train", "test"):
        _pairs(root / "DATA" / split, "Infrared", "Visible", "Label")
    shutil.copy(root / "FOLDER/infrared/a.png", root / "infrared.png")
    shutil.copy(root / "FOLDER/visible/a.png", root / "rgb.png")
    counts = np.linspace(7000, 8000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint16)
    assert cv2.imwrite(str(root / "raw16.png"), counts)
    for name in ("thermal.mp4", "camera.mp4"):
        _video(root / name)
    if not missing_packages("onnxruntime"):
        from standin_networks import early_fusion  # needs onnx

        early_fusion(root / "my_network")
    (root / "rig.yaml").write_text(yaml.safe_dump(CALIBRATION))
    (root / "params.yaml").write_text("/**:\n  ros__parameters:\n    registration: resize\n")
    (root / "robot.yaml").write_text("/**:\n  ros__parameters:\n    gain_policy: minmax\n")
    (root / "RECIPE").write_text(yaml.safe_dump(RECIPE))
    _recording(root / "robot", "/boson/image_raw", "/camera/color/image_raw", "/labels")
    shutil.copy(_recording(root / "on-disk", "/infrared/image_raw", "/rgb/image_raw", "/labels"), root / "drive.mcap")
    return root
