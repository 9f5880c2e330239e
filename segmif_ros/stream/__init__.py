# SPDX-License-Identifier: Apache-2.0
"""Two streams of frames become processed pairs: pairing, the latest-only slot, the worker, its statistics.

No ROS and no clock of its own: stamps come with the frames and clocks are passed in as functions that return
nanoseconds, so the node, the offline replay and the tests run the same code.
"""
