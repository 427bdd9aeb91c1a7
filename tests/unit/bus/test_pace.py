"""Timers of all processes go off together, and never twice for one time."""
import pytest

from bus.pace import until_next


@pytest.mark.parametrize("interval_s", [0.25, 1.0])
@pytest.mark.parametrize("now_s", [0.0, 1.1, 7.49, 7.51, 123456.789])
def test_the_next_time_is_a_multiple_of_the_interval(interval_s: float, now_s: float) -> None:
    multiples = (now_s + until_next(now_s, interval_s)) / interval_s
    assert multiples == pytest.approx(round(multiples))


@pytest.mark.parametrize("error_s", [-0.001, 0.0, 0.003])
def test_a_timer_that_goes_off_a_little_early_or_late_is_followed_by_the_next_time(error_s: float) -> None:
    assert until_next(42.0 + error_s, 1.0) == pytest.approx(1.0 - error_s)
