# SPDX-License-Identifier: Apache-2.0
"""Domains for tests: each is taken once on this machine, and free again at the end of its process."""

import subprocess
import sys
from pathlib import Path

from ros_domains import take_domain

TAKE = "import sys; from ros_domains import take_domain; print(take_domain(), flush=True); sys.stdin.read()"


def test_a_domain_is_taken_once_and_one_that_linux_leaves_to_dds() -> None:
    domains = [take_domain() for _ in range(4)]
    assert len(set(domains)) == 4
    assert all(1 <= each <= 101 for each in domains)


def test_test_runs_side_by_side_have_domains_of_their_own() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE], cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(3)
    ]
    try:
        assert len({take_domain(), *(int(each.stdout.readline()) for each in runs)}) == 4
    finally:
        for each in runs:
            each.communicate()
