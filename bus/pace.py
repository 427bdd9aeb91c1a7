"""When what a process does now and then is due: at whole multiples of its interval on the monotonic clock.

So what is due every second falls together with what is due four times a second, and one process's word with the look
of the one that hears it: an idle broker wakes seldom, and finds its caches as the one before has left them.
"""


def until_next(now_s: float, interval_s: float) -> float:
    """How long to wait: half an interval to one and a half, as timers go off a little early, too."""
    return (round(now_s / interval_s) + 1) * interval_s - now_s
