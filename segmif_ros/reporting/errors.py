# SPDX-License-Identifier: Apache-2.0
"""The errors that a run over many items ends with."""


class RunError(ValueError):
    """A run that can't be done or resumed; one line with what, where and what to do."""


class WorkFailedError(RunError):
    """The input is good, and the work failed: a worker or a node ended."""

    exit_status = 1
