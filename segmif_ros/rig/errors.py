# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a rig; every message is one line for the user."""


class CalibrationError(ValueError):
    """A calibration that can't be right, or a file that holds none."""


class RegistrationError(ValueError):
    """A registration that can't be had: the calibration lacks what the mode needs, or the images don't fit it."""


class UncalibratedError(RegistrationError):
    """There is no registration yet: the calibration that it needs hasn't come."""
