# SPDX-License-Identifier: Apache-2.0
"""The slot holds the newest item only, and closing it sets everybody free."""

import queue
import threading

from patience import WAIT_S

from segmif_ros.stream.slot import LatestSlot


def test_what_is_put_is_taken_once() -> None:
    slot: LatestSlot[int] = LatestSlot()
    assert slot.put(1) is None
    assert slot.take() == 1
    assert slot.put(2) is None


def test_a_newer_item_replaces_the_older_one_and_says_so() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    assert slot.put(2) == 1
    assert slot.take() == 2


def test_closing_wakes_who_waits() -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken: queue.Queue[int | None] = queue.Queue()
    waiter = threading.Thread(target=lambda: taken.put(slot.take()))
    waiter.start()
    slot.close()
    assert taken.get(timeout=WAIT_S) is None
    waiter.join(WAIT_S)


def test_a_closed_slot_gives_back_what_was_left_and_takes_nothing_more() -> None:
    slot: LatestSlot[int] = LatestSlot()
    slot.put(1)
    assert slot.close() == 1
    assert slot.put(2) == 2
    assert slot.take() is None


def test_a_waiting_consumer_gets_every_item_that_it_is_fast_enough_for_and_always_the_last() -> None:
    slot: LatestSlot[int] = LatestSlot()
    taken: list[int] = []

    def consume() -> None:
        while (item := slot.take()) is not None:
            taken.append(item)
            if item == 2000:
                return

    consumer = threading.Thread(target=consume)
    consumer.start()
    for i in range(1, 2001):
        slot.put(i)
    consumer.join(WAIT_S)
    assert not consumer.is_alive()
    assert taken[-1] == 2000
    assert taken == sorted(set(taken))
