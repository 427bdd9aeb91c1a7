"""What a gateway hears of its batches."""
from shards.watermarks import Watermark


def test_a_batch_without_anything_durable_is_durable_at_once() -> None:
    mark = Watermark()
    mark.applied(None)
    assert mark.news() == (1, 1)
    assert mark.news() is None


def test_a_durable_batch_holds_back_itself_and_all_behind_it() -> None:
    mark = Watermark()
    mark.applied(None)
    mark.applied(100)
    mark.applied(None)
    mark.applied(200)
    mark.applied(None)
    assert mark.news() == (5, 1)
    mark.durable_up_to(99)
    assert mark.news() is None
    mark.durable_up_to(150)
    assert mark.news() == (5, 3)
    mark.durable_up_to(200)
    assert mark.news() == (5, 5)


def test_it_is_settled_when_all_is_durable_and_told() -> None:
    mark = Watermark()
    assert mark.settled
    mark.applied(100)
    mark.applied(None)
    assert not mark.settled
    mark.news()
    mark.durable_up_to(100)
    assert not mark.settled
    mark.news()
    assert mark.settled


def test_one_commit_may_cover_many_batches() -> None:
    mark = Watermark()
    for position in (10, 20, 30):
        mark.applied(position)
    mark.durable_up_to(30)
    assert mark.news() == (3, 3)


def test_a_batch_that_asks_for_nothing_is_no_news() -> None:
    mark = Watermark()
    mark.applied(None)
    assert mark.news() == (1, 1)
    mark.applied(None, asked=False)
    mark.applied(100, asked=False)
    mark.durable_up_to(100)
    assert mark.news() is None
    assert mark.settled
    mark.applied(None)
    assert mark.news() == (4, 4)


def test_who_waits_for_the_disk_alone_hears_nothing_before_it() -> None:
    mark = Watermark()
    mark.applied(None, asked=False)
    mark.applied(100, early=False)
    mark.applied(None, asked=False)
    assert mark.news() is None
    assert not mark.settled
    mark.durable_up_to(100)
    assert mark.news() == (3, 3)
    assert mark.settled


def test_what_asks_early_takes_along_what_is_durable() -> None:
    mark = Watermark()
    mark.applied(100, early=False)
    mark.applied(None)
    mark.applied(200, early=False)
    assert mark.news() == (3, 0)
    mark.durable_up_to(150)
    assert mark.news() == (3, 2)
    mark.durable_up_to(200)
    assert mark.news() == (3, 3)
    assert mark.settled


def test_a_durable_batch_that_nobody_waits_for_holds_back_those_behind_it() -> None:
    mark = Watermark()
    mark.applied(100, asked=False)
    mark.applied(200, early=False)
    mark.durable_up_to(100)
    assert mark.news() is None
    mark.durable_up_to(200)
    assert mark.news() == (2, 2)
