"""Definitions: the topology as a JSON document in RabbitMQ's format, out and in.

    parsing     bytes to a document: size, JSON, depth
    items       one object of a document, field by field
    exporting   a Replica as a document, whole or one vhost
    importing   a document against a Replica: a plan of everything that is to change, or the thing that is wrong
    accounts, rights, objects   the categories of a document, for importing
    planned     the plan, and what will be there when it is applied
"""
from topology.definitions.exporting import (
    COMPATIBLE_VERSION,
    IMPORTED_HASH,
    Origin,
    described_policy,
    export_all,
    export_vhost,
    is_internal,
)
from topology.definitions.importing import plan_import
from topology.definitions.parsing import DOCUMENT_BYTES_MAX, parse
from topology.definitions.planned import ImportPlan

__all__ = [
    "COMPATIBLE_VERSION", "DOCUMENT_BYTES_MAX", "IMPORTED_HASH", "ImportPlan", "Origin", "described_policy",
    "export_all", "export_vhost", "is_internal", "parse", "plan_import",
]
