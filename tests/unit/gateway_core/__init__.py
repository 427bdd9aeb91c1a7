"""The gateway's compiled core, driven with raw bytes from clients and hand-made records from shards."""
