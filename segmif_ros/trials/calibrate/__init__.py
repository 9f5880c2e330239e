# SPDX-License-Identifier: Apache-2.0
"""`segmif calibrate`: a rig's calibration file from a bag, live topics or folders, with a page of its worth."""
