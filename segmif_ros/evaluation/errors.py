# SPDX-License-Identifier: Apache-2.0
"""The errors that an evaluation ends with."""


class EvaluationError(ValueError):
    """An evaluation that can't be done or go on; one line with what, where and what to do."""


class WorkFailedError(EvaluationError):
    """What was asked for is good, and doing it failed: a worker or a node ended."""

    exit_status = 1
