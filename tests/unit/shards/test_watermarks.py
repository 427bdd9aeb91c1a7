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
