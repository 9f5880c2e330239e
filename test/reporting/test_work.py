# SPDX-License-Identifier: Apache-2.0
"""The same results from this process, from several, and from a Dask cluster; and one line where there is none."""

import operator
from collections.abc import Iterator
from functools import partial

import pytest

from segmif_ros.reporting.errors import RunError
from segmif_ros.reporting.work import WorkerPool

distributed = pytest.importorskip("distributed", reason="pip install distributed")


def make_doubler() -> partial[int]:
    return partial(operator.mul, 2)


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", protocol="tcp"
    ) as cluster:
        yield cluster.scheduler_address


def test_a_cluster_gives_the_results_of_one_process(scheduler: str) -> None:
    items = list(range(40))
    alone = list(WorkerPool(make_doubler, 1).results(items))
    assert sorted(WorkerPool(make_doubler, 1, scheduler).results(items)) == alone == [2 * item for item in items]


def test_nothing_to_do_is_no_error_on_a_cluster(scheduler: str) -> None:
    assert list(WorkerPool(make_doubler, 1, scheduler).results([])) == []


def test_an_exception_in_a_job_comes_back_from_a_cluster(scheduler: str) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        list(WorkerPool(make_doubler, 1, scheduler).results([{}]))


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "carrier-pigeon://1"])
def test_a_scheduler_that_is_not_there_is_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segmif_ros.reporting.work.CONNECT_TIMEOUT_S", 0.5)
    with pytest.raises(RunError, match=f"--scheduler {address}: can't connect") as refused:
        list(WorkerPool(make_doubler, 1, address).results([1]))
    assert "\n" not in str(refused.value)


def test_no_workers_at_all_is_refused() -> None:
    with pytest.raises(RunError, match="workers is 0"):
        WorkerPool(make_doubler, 0)
