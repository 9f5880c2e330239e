# SPDX-License-Identifier: Apache-2.0
"""A node as a process: one executor, an orderly end on SIGINT and SIGTERM, exit statuses that say what happened.

With rclpy's own handlers a second Ctrl-C, or one while a model is loaded, ends in a traceback. Here both signals,
however often, mean the same: stop, within two seconds, status 0. Where the main thread can't look at anything for that
long, as in the middle of loading a model, the process just ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

from segmif_ros.paths import user_path

GRACE_S = 1.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While entered, SIGINT and SIGTERM request a stop instead of interrupting.

    Args:
        grace_s: If the block is not left so long after the first signal, the process ends with status 0.
    """

    def __init__(self, grace_s: float = GRACE_S) -> None:
        self._grace_s = grace_s
        self._requested = threading.Event()
        self._left = threading.Event()
        self._lock = threading.Lock()
        self._wake: Callable[[], None] | None = None

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self._requested.is_set()

    def wake_by(self, wake: Callable[[], None] | None) -> None:
        """Call ``wake`` from another thread when a signal comes, or now if one has come."""
        with self._lock:
            self._wake = wake
            if wake is not None and self.requested:
                wake()

    def __enter__(self) -> StopSignals:
        # Python runs signal handlers on the main thread only, between two bytecodes: a wait inside of rclpy or a model
        # being loaded would hold them up. The interpreter writes the signal's number to this socket at once.
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._old_fd = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._old = {each: signal.signal(each, _leave_to_the_watcher) for each in _SIGNALS}
        threading.Thread(target=self._watch, name="stop-signals", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._left.set()
        signal.set_wakeup_fd(self._old_fd)
        for each, handler in self._old.items():
            # after a stop the interpreter is on its way out, where a further signal would still end it by force
            signal.signal(each, signal.SIG_IGN if self.requested else handler)
        self._sender.close()

    def _watch(self) -> None:
        while number := self._receiver.recv(1):
            if number[0] in _SIGNALS:
                break
        else:
            self._receiver.close()
            return
        self._requested.set()
        with self._lock:
            if self._wake is not None:
                self._wake()
        if not self._left.wait(self._grace_s):
            end_now(0)


def _leave_to_the_watcher(number: int, frame: Any) -> None:
    """Do nothing; a handler must be there, or the signal would end the process or raise KeyboardInterrupt."""


class _ForkGuard:
    """Keep the signals of a forked process to itself.

    A fork inherits our handlers and the socket that signals are written to: without this, a SIGTERM to a child stops
    the parent and leaves the child alive. Both signals are blocked while the fork has our handlers.
    """

    def __init__(self) -> None:
        self._masks = threading.local()  # two threads may fork at once

    def before(self) -> None:
        self._masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)

    def in_parent(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.old)

    def in_child(self) -> None:
        if signal.getsignal(_SIGNALS[0]) is _leave_to_the_watcher:
            signal.set_wakeup_fd(-1)
        for each in _SIGNALS:
            if signal.getsignal(each) is _leave_to_the_watcher:
                signal.signal(each, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.old)


_FORK_GUARD = _ForkGuard()
os.register_at_fork(
    before=_FORK_GUARD.before, after_in_parent=_FORK_GUARD.in_parent, after_in_child=_FORK_GUARD.in_child
)


def end_now(status: int) -> None:
    """End the process without waiting for threads that are inside of a library call."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


class RunnableNode(Protocol):
    """What `run_node` needs of a node besides being an rclpy node."""

    def start(self) -> bool:
        """Begin to work; return False, after having logged why, if that failed."""

    def close(self) -> bool:
        """Stop work; False if a thread could not be ended in time."""


def run_node(name: str, make_node: Callable[[], Any], args: Sequence[str] | None = None) -> int:
    """Run one node until it is asked to stop.

    Args:
        name: For lines that are logged before there is a node.
        make_node: Returns an rclpy node that is also a `RunnableNode`. Imports of rclpy and heavier ones belong in
            here: signals are taken care of by then. It may raise ValueError with one line on bad parameters.
        args: Command line; None means sys.argv.

    Returns:
        The exit status: 0 after a signal, 1 if the node could not start.
    """
    with StopSignals() as stop:
        try:
            return _run(name, make_node, args, stop)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("segmif_ros"):
                raise  # a defect of ours, and its traceback is what helps
            print(
                f"{name}: the Python module '{error.name}' is not installed for {sys.executable}: "
                "source your ROS 2 install and activate the venv that the package was installed with",
                file=sys.stderr,
            )
            return 1


def _run(name: str, make_node: Callable[[], Any], args: Sequence[str] | None, stop: StopSignals) -> int:
    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from segmif_ros.ros import transport
    from segmif_ros.ros.barrier import GuardedExecutor
    from segmif_ros.ros.params_file_check import check_files

    try:
        check_files(args)
        use_log_folder(name)
        transport.use_profile()
        # rclpy's exceptions for bad arguments and params files derive from RuntimeError
        rclpy.init(args=None if args is None else list(args), signal_handler_options=SignalHandlerOptions.NO)
    except (RuntimeError, ValueError, OSError) as error:
        print(f"{name}: {_one_line(error)}", file=sys.stderr)
        return 1
    try:
        node = make_node()
    except (RuntimeError, ValueError) as error:
        rclpy.logging.get_logger(name).fatal(_one_line(error))
        rclpy.try_shutdown()
        return 0 if stop.requested else 1
    except ModuleNotFoundError:
        rclpy.try_shutdown()
        raise
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    guarded = GuardedExecutor(executor, getattr(node, "barrier", None))
    awake = node.create_guard_condition(lambda: None)
    stop.wake_by(awake.trigger)
    status = 0
    try:
        if not (stop.requested or node.start() or stop.requested):
            status = 1
        while not (status or stop.requested):
            guarded.spin_once()
    except ExternalShutdownException:
        pass  # somebody else shut the context down: an end like any other
    finally:
        stop.wake_by(None)
        clean = node.close()
        executor.shutdown(timeout_sec=0)
        node.destroy_node()
        rclpy.try_shutdown()
    if not clean:
        # the interpreter would wait for, or pull the floor from under, the thread that is still in a library call
        end_now(status)
    return status


def use_log_folder(name: str) -> None:
    """Set ROS_LOG_DIR to a new folder where rcl could not write its log, as without a home or with a read-only one.

    rcl takes ROS_LOG_DIR, else $ROS_HOME/log, else ~/.ros/log, and ends the process if it can't make that.
    """
    if os.environ.get("ROS_LOG_DIR"):
        return  # the user's own choice
    try:
        folder = user_path(os.environ.get("ROS_HOME") or "~/.ros") / "log"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            if not os.environ.get("HOME"):  # rcl doesn't ask the system for it
                os.environ["ROS_LOG_DIR"] = str(folder)
            return
        reason = f"{folder} can't be written"
    except OSError as error:
        reason = _one_line(error)
    os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="ros-log-")
    print(f"{name}: {reason}: the log goes to {os.environ['ROS_LOG_DIR']}", file=sys.stderr)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
