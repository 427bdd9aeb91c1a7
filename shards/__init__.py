"""Shards: queues, consumers, dispatch, unacknowledged messages."""
