# SPDX-License-Identifier: Apache-2.0
"""Making a calibration: from a board that both cameras see, from the scene alone, or from pairs of points."""
