"""The compiled core of the load tool: everything that happens per message."""
