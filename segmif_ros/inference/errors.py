# SPDX-License-Identifier: Apache-2.0
"""What an engine and its backends refuse."""


class EngineError(RuntimeError):
    """The engine can't be made or can't process this pair; one line with what, where and what to do."""
