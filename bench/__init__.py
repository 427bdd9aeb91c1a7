"""Measurements of Warren beside RabbitMQ, on one machine in one run. See README.md."""
