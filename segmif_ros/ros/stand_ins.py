# SPDX-License-Identifier: Apache-2.0
"""Interfaces of other packages that the package index has no wheel of, built by pip beside ours (setup.py)."""

import importlib.util
import sys

import segmif_ros

FOLDER = "msg/stand_ins"


def make_importable(package: str) -> None:
    """Let a package be imported from our build where it isn't installed.

    Its place is the last one where Python looks, so a package that is installed later goes first.
    """
    if importlib.util.find_spec(package) is None:
        places = (f"{each}/{FOLDER}" for each in segmif_ros.__path__)
        sys.path += [each for each in places if each not in sys.path]
