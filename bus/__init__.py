"""Links between the broker's processes: record formats, batches, rings, sockets, control messages."""
