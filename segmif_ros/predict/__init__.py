# SPDX-License-Identifier: Apache-2.0
"""The network on images at hand, without ROS: `segmif_ros.load` in Python, `segmif predict` on the command line."""
