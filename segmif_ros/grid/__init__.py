# SPDX-License-Identifier: Apache-2.0
"""Labels + confidence + camera + pose -> cells on the ground with a cost and a confidence. NumPy and OpenCV, no ROS.

A cell is *unknown* until it has been seen. Nothing here calls a cell free that no ground pixel fell into.
"""
