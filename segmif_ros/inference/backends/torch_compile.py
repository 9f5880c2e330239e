# SPDX-License-Identifier: Apache-2.0
"""torch.compile: the first frame of each image size takes up to minutes and needs a C++ compiler on the CPU."""

from __future__ import annotations

import torch

from segmif_ros.inference.backends.base import BackendOptions
from segmif_ros.inference.backends.torch_eager import TorchBackend
from segmif_ros.inference.frame import FrameNetwork


def create(network: FrameNetwork, options: BackendOptions) -> TorchBackend:
    """Make the backend of a network.

    Args:
        network: The network.
        options: Device, precision, prior.

    Returns:
        What runs it.
    """
    # one graph per size: a graph of unknown size can't fold the chunks of the Gram sums
    return TorchBackend(torch.compile(network, dynamic=False), options)
