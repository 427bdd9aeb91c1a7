"""The segment log: append-only mapped segments, their index and ack map, group commit, recovery."""
