# SPDX-License-Identifier: Apache-2.0
"""The error that an evaluation ends with."""

from segmif_ros.reporting.errors import RunError


class EvaluationError(RunError):
    """An evaluation that can't be done or resumed; one line with what, where and what to do."""
