# SPDX-License-Identifier: Apache-2.0
"""Images as numpy arrays: encodings, thermal gain, the prior image, overlays; numpy and OpenCV only."""
