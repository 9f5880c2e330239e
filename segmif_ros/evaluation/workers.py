# SPDX-License-Identifier: Apache-2.0
"""Work on many items in one process or in several, with a progress bar."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from segmif_ros.evaluation.errors import EvaluationError

Item = TypeVar("Item")
Done = TypeVar("Done")

_job: Callable[[Any], Any] | None = None  # in a worker process: what it does with each item


class WorkerPool(Generic[Item, Done]):
    """Applies a job to items; results come as they are ready, in the order of items with one worker.

    Args:
        make_job: Called once a worker; returns the job. Must be picklable for more than one worker.
        workers: Processes; 1 works in this one.
    """

    def __init__(self, make_job: Callable[[], Callable[[Item], Done]], workers: int) -> None:
        if workers < 1:
            raise EvaluationError(f"workers is {workers}: give 1 or more")
        self._make_job = make_job
        self._workers = workers

    def results(self, items: Sequence[Item]) -> Iterator[Done]:
        """Yield one result an item.

        Raises EvaluationError if a worker process ended (out of memory, most likely).
        """
        workers = min(self._workers, len(items))
        if workers <= 1:
            if items:
                yield from map(self._make_job(), items)
            return
        # spawned, not forked: a forked child can't use CUDA, and may inherit a lock that nobody gives back
        pool = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=(self._make_job,)
        )
        try:
            yield from _bounded(pool, items, 3 * workers)
        except BrokenProcessPool:
            raise EvaluationError(
                "a worker process ended unexpectedly (out of memory?): try fewer --workers; what was done is kept"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start(make_job: Callable[[], Callable[[Any], Any]]) -> None:
    global _job  # noqa: PLW0603  # a worker process has one job, and executors offer no other place for it
    _job = make_job()


def _work(item: Any) -> Any:
    assert _job is not None
    return _job(item)


def _bounded(pool: ProcessPoolExecutor, items: Sequence[Any], ahead: int) -> Iterator[Any]:
    """Submit a few items ahead, so that results don't pile up in memory."""
    waiting: set[Future[Any]] = set()
    queue = iter(items)
    while True:
        for item in queue:
            waiting.add(pool.submit(_work, item))
            if len(waiting) >= ahead:
                break
        if not waiting:
            return
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for each in done:
            yield each.result()


@contextmanager
def progress_bar(what: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr where that is a terminal; yields what advances it."""
    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(what, total=total, completed=done)
        yield lambda count: progress.advance(task, count)
