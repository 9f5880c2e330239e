# SPDX-License-Identifier: Apache-2.0
"""ROS domains of this test run, which no other test run on this machine has meanwhile."""

from segmif_ros.trials.domains import take_domain

__all__ = ["take_domain"]
