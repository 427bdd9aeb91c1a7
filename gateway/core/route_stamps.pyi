class RouteStamps:
    """When a gateway's routes were last touched by changes of the topology: a RouteWatch (topology/touched.py)."""

    now: int
    """Grows with whatever is touched. A route that is asked for is right as of what this is then."""

    def touch_everything(self) -> None: ...
    def touch_exchange(self, vhost: str, exchange: str) -> None: ...
    def touch_key(self, vhost: str, exchange: str, routing_key: str) -> None: ...
    def holds(self, since: int, vhost: str, exchange: str, routing_keys: tuple[str, ...]) -> bool:
        """Whether a route from this exchange that was right at `since` still is. Without routing keys, one that
        depends on none."""
