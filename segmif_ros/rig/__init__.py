# SPDX-License-Identifier: Apache-2.0
"""The two cameras as a rig: calibration, registration into one view, time offset; numpy and OpenCV only."""
