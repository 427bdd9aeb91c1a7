"""Gateways: AMQP connections and channels, routing, confirms, delivery tags."""
