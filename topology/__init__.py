"""Names and routing: virtual hosts, exchanges, queues, bindings, users, permissions."""
