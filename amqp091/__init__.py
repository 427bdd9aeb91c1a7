"""The AMQP 0-9-1 protocol without I/O: constants, errors, field tables, methods, frames."""
