# SPDX-License-Identifier: Apache-2.0
"""A process that asked for it ends with its parent; one that did not goes on."""

import os
import subprocess
import sys
import time

import pytest
from patience import WAIT_S

from segmif_ros.ros.parent import OPTION, exit_with_parent_on_request

# the parent starts a child, hands its pid and its end of a pipe over, and dies by a signal that it can't pass on
PARENT = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], stdout=subprocess.PIPE, stdin=sys.stdin)
child.stdout.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
CHILD = """
import sys
from segmif_ros.ros.parent import exit_with_parent_on_request
exit_with_parent_on_request()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_child_ends_when_its_parent_is_gone() -> None:
    read, write = os.pipe()  # the child holds the only other copy of the reading end
    with subprocess.Popen([sys.executable, "-c", PARENT, CHILD, OPTION], stdin=read) as parent:
        os.close(read)
        parent.wait(timeout=WAIT_S)
    for _ in range(200):
        try:
            os.write(write, b"x")
        except BrokenPipeError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child goes on")
    os.close(write)


def test_without_the_option_nothing_is_asked_of_the_kernel() -> None:
    assert not exit_with_parent_on_request(["--ros-args"])
