# SPDX-License-Identifier: Apache-2.0
"""The error that an evaluation ends with."""


class EvaluationError(ValueError):
    """An evaluation that can't be done or go on; one line with what, where and what to do."""
