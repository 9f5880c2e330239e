# SPDX-License-Identifier: Apache-2.0
"""Keep packages that backends are made of from sending usage data.

`import openvino` and each conversion send events to Intel's analytics service: by forked copies of the process, and
without asking. A robot must do neither. OpenVINO has a stub for machines without the package that sends, and uses it
where importing that package fails.
"""

from __future__ import annotations

import sys

BLOCKED = ("openvino_telemetry",)


def block_telemetry() -> None:
    """Make imports of the packages that send usage data fail, from now on in this process.

    A package that a program has imported before stays as it is: what it sends is then that program's decision.
    """
    for name in BLOCKED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # None makes the import raise ModuleNotFoundError
