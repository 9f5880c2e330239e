# SPDX-License-Identifier: Apache-2.0
"""Recorded images before the cameras' health check."""

import cv2
import numpy as np
import pytest
from module_command import command_of

from segmif_ros.trials import camera_check

main = command_of(camera_check)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name, shape in (("infrared", (48, 64)), ("visible", (48, 64, 3))):
        (tmp_path / name).mkdir()
        for number in range(12):
            cv2.imwrite(str(tmp_path / name / f"{number:02d}.png"), rng.integers(0, 255, shape).astype(np.uint8))
    return tmp_path


def test_images_that_are_well_are_no_fault(folder, capsys) -> None:
    assert main([str(folder)]) == 0
    assert "24 frames, 0 of them called a fault" in capsys.readouterr().out


def test_black_images_are_called_so(folder, capsys) -> None:
    for path in (folder / "visible").iterdir():
        cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    assert main([str(folder)]) == 1
    assert "black 9" in capsys.readouterr().out


def test_a_folder_without_images_is_refused(tmp_path, capsys) -> None:
    assert main([str(tmp_path)]) == 2
    assert "infrared/ and visible/" in capsys.readouterr().err
