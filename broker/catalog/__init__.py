"""The catalog: the one process that owns names.

    core            decides, commits, distributes, answers
    requests/       the verbs
    committer       group commit
    distribution    who has applied which change
    snapshots       how a replica comes to the whole state
    gateways        exclusive queues of gateways that ended
    usage           connections and channels that a limit makes count
    store, schema   SQLite
    queue_ids       numbers that never come back
    loading         definitions that are loaded at the start
    service         the control bus in front of it
    process         the process around it
"""
from broker.catalog.process import run
from broker.catalog.schema import UnusableCatalog, highest_shard

__all__ = ["UnusableCatalog", "highest_shard", "run"]
