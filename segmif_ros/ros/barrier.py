# SPDX-License-Identifier: Apache-2.0
"""A barrier around every callback: an unexpected exception costs the message or call that it came with, and no more.

What is expected (a broken image, a wrong parameter) has its own line where it is handled. Whatever else a callback
raises would end the node, as rclpy passes it on. Here it is logged once with its traceback and counted.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import TransitionCallbackReturn

from segmif_ros.ros.problems import Problem
from segmif_ros.stream.processing import in_one_line

Function = TypeVar("Function", bound=Callable[..., Any])
NS_PER_S = 1_000_000_000
_SHOWN_S = 60.0  # for so long after the last one, /diagnostics warns
_MOST_FAILURES = 1000
_TRANSITIONS = {f"on_{name}" for name in ("configure", "activate", "deactivate", "cleanup", "shutdown", "error")}
_KINDS = 100  # tracebacks logged at most: an exception may carry another text each time


class Barrier:
    """Keeps unexpected exceptions to the callback that they come from, and counts them by place; thread-safe.

    Args:
        log: Takes the text of an exception with its traceback.
        now_ns: A clock that never steps back.
    """

    def __init__(self, log: Callable[[str], None], now_ns: Callable[[], int]) -> None:
        self._log = log
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._last: dict[str, tuple[int, str]] = {}  # place -> when, and the exception in one line
        self._logged: set[tuple[str, str]] = set()

    def caught(self, place: str, error: Exception) -> None:
        """Take an exception that nobody expected; raises nothing itself.

        Args:
            place: Where, for logs and diagnostics.
            error: The exception.
        """
        frames = traceback.extract_tb(error.__traceback__)
        kind = place, f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else repr(error)
        with self._lock:
            self._counts[place] = self._counts.get(place, 0) + 1
            self._last[place] = self._now_ns(), in_one_line(error)
            if kind in self._logged or len(self._logged) >= _KINDS:
                return
            self._logged.add(kind)
        text = "".join(traceback.format_exception(error))
        with contextlib.suppress(Exception):  # what can't be logged must not end the node either
            self._log(f"unexpected exception in {place}; the node continues, please report it:\n{text}")

    def around(self, place: str, function: Function, instead: Callable[..., Any] = lambda *_args: None) -> Function:
        """Return ``function`` with its exceptions caught.

        Args:
            place: Names it, for log and diagnostics.
            function: Any callable.
            instead: Called with the exception and the arguments; what it returns is returned.
        """

        def guarded(*args: Any, **more: Any) -> Any:
            try:
                return function(*args, **more)
            except Exception as error:  # noqa: BLE001  the purpose of this module; nothing is hidden, see `caught`
                self.caught(place, error)
                return instead(error, *args)

        # rclpy looks at the signature of callbacks; `wraps` copies what there is
        return functools.wraps(function)(guarded)  # type: ignore[return-value]

    def values(self) -> dict[str, str]:
        """Return the counts as keys and values of /diagnostics; none as long as there was none."""
        with self._lock:
            return {f"unexpected_exceptions {place}": str(count) for place, count in self._counts.items()}

    def problems(self) -> list[Problem]:
        """Return a warning for each place where there was one lately."""
        with self._lock:
            since_ns = self._now_ns() - round(_SHOWN_S * NS_PER_S)
            return [
                Problem(
                    f"unexpected {place}",
                    f"unexpected exception in {place}, {self._counts[place]} so far: {line}; "
                    "its traceback is in the log, please report it",
                )
                for place, (when_ns, line) in self._last.items()
                if when_ns >= since_ns
            ]


class GuardedExecutor:
    """Spins an executor and continues after what it raises.

    A guarded node's callbacks raise nothing: this is rclpy itself, as with a message that it can't take. Where it
    raises a thousand times on end, it is broken, and that is passed on.

    Args:
        executor: rclpy's.
        barrier: Takes the exceptions; without one they are passed on.
    """

    def __init__(self, executor: Any, barrier: Barrier | None) -> None:
        self._executor = executor
        self._barrier = barrier
        self._failures = 0

    def spin_once(self) -> None:
        """Wait for one callback and run it.

        Raises:
            rclpy.executors.ExternalShutdownException: If the context was shut down.
        """
        try:
            self._executor.spin_once()
            self._failures = 0
        except ExternalShutdownException:
            raise
        except Exception as error:
            self._failures += 1
            if self._barrier is None or self._failures > _MOST_FAILURES:
                raise
            self._barrier.caught("executor", error)


class GuardedNode:
    """Mixed into a node class before rclpy's: whatever callback the node creates is inside of its barrier.

    Callbacks of the clock's jumps are not created by the node: put them in by `Barrier.around`.

    Args:
        args: rclpy's.
        barrier: One to share with another node; without it the node makes its own.
        more: rclpy's.

    Attributes:
        barrier: Of the node and of everything that works for it.
    """

    def __init__(self, *args: Any, barrier: Barrier | None = None, **more: Any) -> None:
        # before rclpy's constructor, as that creates callbacks as well
        self.barrier = barrier or Barrier(lambda text: self.get_logger().error(text), time.monotonic_ns)  # type: ignore[attr-defined]
        super().__init__(*args, **more)

    def __init_subclass__(cls, **more: Any) -> None:
        """Guard the lifecycle callbacks: rclpy takes their exceptions for ERROR, and logs nothing."""
        super().__init_subclass__(**more)
        for name in _TRANSITIONS & vars(cls).keys():
            setattr(cls, name, _guarded_transition(name, vars(cls)[name]))

    def create_subscription(self, msg_type: Any, topic: str, callback: Any, *args: Any, **more: Any) -> Any:
        """Subscribe as `rclpy.node.Node.create_subscription`, with the callback guarded.

        Args:
            msg_type: As rclpy takes it, like the rest.
            topic: Its name.
            callback: What it raises is counted and logged, and ends nothing.
            *args: As rclpy takes them.
            **more: Likewise.
        """
        guarded = self.barrier.around(f"subscription {topic}", callback)
        return super().create_subscription(msg_type, topic, guarded, *args, **more)  # type: ignore[misc]

    def create_timer(self, timer_period_sec: float, callback: Any, *args: Any, **more: Any) -> Any:
        """Make a timer as `rclpy.node.Node.create_timer`, with the callback guarded.

        Args:
            timer_period_sec: As rclpy takes it, like the rest.
            callback: What it raises is counted and logged, and ends nothing.
            *args: As rclpy takes them.
            **more: Likewise.
        """
        name = getattr(callback, "__name__", "")
        guarded = callback and self.barrier.around(f"timer {name}".strip(), callback)
        return super().create_timer(timer_period_sec, guarded, *args, **more)  # type: ignore[misc]

    def create_service(self, srv_type: Any, srv_name: str, callback: Any, *args: Any, **more: Any) -> Any:
        """Offer a service as `rclpy.node.Node.create_service`, with the callback guarded.

        Args:
            srv_type: As rclpy takes it, like the rest.
            srv_name: Its name.
            callback: If it raises, the answer is a failure with a line.
            *args: As rclpy takes them.
            **more: Likewise.
        """
        guarded = self.barrier.around(f"service {srv_name}", callback, _failed)
        return super().create_service(srv_type, srv_name, guarded, *args, **more)  # type: ignore[misc]

    def add_on_set_parameters_callback(self, callback: Any) -> None:
        """See rclpy."""
        super().add_on_set_parameters_callback(self.barrier.around("parameters", callback, _refused))  # type: ignore[misc]


def _guarded_transition(name: str, callback: Function) -> Function:
    @functools.wraps(callback)
    def guarded(self: GuardedNode, state: Any) -> Any:
        try:
            return callback(self, state)
        except Exception as error:  # noqa: BLE001  see `Barrier`
            self.barrier.caught(name, error)
            return TransitionCallbackReturn.ERROR

    return guarded  # type: ignore[return-value]


def _failed(error: Exception, request: Any, response: Any) -> Any:
    """Answer a call that an exception has ended."""
    if hasattr(response, "success") and hasattr(response, "message"):
        response.success, response.message = False, f"unexpected exception, see the log: {in_one_line(error)}"
    if isinstance(response, SetParameters.Response):
        response.results = [_refused(error) for _ in request.parameters]
    return response


def _refused(error: Exception, *_args: Any) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=f"unexpected exception, see the log: {in_one_line(error)}")
