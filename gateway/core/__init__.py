"""The compiled part of the gateway: everything that touches every message.

It owns the handle tables, the bytes of the connections (input kept, output to write),
the publishes under way, the routes remembered per channel, the confirm trackers, the
unacknowledged deliveries, the transactions and the outgoing batches per shard. It opens
no socket, reads no clock, starts no thread and knows no exchange, queue or permission:
the Python side (gateway/connection.py, gateway/channel.py, gateway/worker.py) subclasses
the three classes here and is called for everything that is not per message.

Classes (signatures with types in the .pyi beside each module):

    GatewayCore     one per process         gateway/core/gateway.pyi
    ConnectionCore  one per AMQP connection gateway/core/connection.pyi
    ChannelCore     one per open channel    gateway/core/channel.pyi
    Route, Fork     where a key goes        gateway/core/routes.pyi

A turn of the loop, as the worker drives it:

    1. socket bytes             connection.receive(view)
       a batch from a shard     gateway.on_batch(shard, view)      -> hooks, in record order
    2. once, after all input of the turn:
       for connection in gateway.dirty():
           transport.write(connection.take_output())               (a Batch: bytes-like, now the caller's)
       gateway.credits()                                           -> CREDIT records
       for shard in gateway.pending_shards():
           link.send(gateway.outgoing(shard)); gateway.sent(shard, link.next_batch_number)

    `sent(shard, n)` clears the shard's outgoing batch and tells the number that the next send
    will return; `shard_up(shard, n)` tells the first one. Output and outgoing batches grow only
    by calls of `receive`, `resume`, `on_batch`, `shard_down` and by what the Python side writes,
    so the worker runs step 2 by call_soon after any of these.

Order. Frames of a connection are handled strictly in order. basic.publish with its content and
basic.ack, nack, reject are handled here; every other method goes to `on_method`, synchronously.
If the handler cannot answer at once it calls `pause()`: nothing behind that method is looked at,
input is kept, until `resume()`. Records of a batch are handled strictly in order too: `on_json` is
called between the deliveries before and after it. The handler of a consume response must
therefore write consume-ok before it returns, or a delivery overtakes it.

Errors. Hooks raise amqp091.errors.ChannelError / ConnectionLevelError; the core raises the same
kinds itself for frame, content, publish and settle errors. Both end in one place:
`on_channel_error(number, exc)` after `channel.closing = True` (its later frames are dropped, but for
channel.close and channel.close-ok, which still go to `on_method`), or `on_connection_error(exc)`
after `connection.closing = True` (all later frames are dropped, but for connection.close and
close-ok on channel 0). Any other exception of a hook leaves `receive`/`resume` to their caller,
with the input behind that method kept; the caller closes the connection with 541. `on_batch`
handles the whole batch first and raises the first such exception at its end.

End of a channel, in three steps, because shards still have records under way for it:
    channel.close()                 nothing is rendered for it any more; unacked, confirms, tx are forgotten
    connection.remove_channel(n)    the number may be opened again (close-ok was sent or has come)
    channel.release()               after each shard of `channel.shards()` has answered close_channel:
                                    its handle and its consumers' handles become free
End of a connection: connection.close() does all three for all its channels at once.
Likewise `remove_consumer` is called when the shard has answered the cancel, not before: deliveries
that come before that answer still belong to the client and to the window of the connection.

Deliveries. The shard numbers, per channel, the deliveries that await an ack, DELIVER and GET_OK
alike, from 1 in link order; so does the core, and SETTLE names that number. The sequence goes on
after recover; it starts again when the shard is restarted.

Credit. CONNECTION_WINDOW_BYTES (bus.limits) per connection and shard: `credits()` returns what
has left for the socket, in steps, while `connection.writable` is true and its output was taken.
The Python side sets `writable` False in pause_writing and True in resume_writing.

Back-pressure. `gateway.publishes_blocked = True` (memory or disk alarm) stops each connection
before its next basic.publish; `gateway.set_congested(shard, True)` stops each connection after its
next publish to that shard. Both pause it with PAUSE_HELD and call `connection.on_publish_held(shard)`
(shard -1: an alarm); the Python side later calls `resume(PAUSE_HELD)`.
"""
from gateway.core.channel import ChannelCore
from gateway.core.connection import PAUSE_HELD, PAUSE_METHOD, PAUSE_OUTPUT, PAUSE_PACE, ConnectionCore
from gateway.core.gateway import (
    KIND_EVENT,
    KIND_REQUEST,
    KIND_RESPONSE,
    MAX_MESSAGE_BYTES_DEFAULT,
    SHARD_COUNT_MAX,
    GatewayCore,
)
from gateway.core.route_stamps import RouteStamps
from gateway.core.routes import KEEPS_ALL, KEEPS_NONE, KEEPS_PERSISTENT, Fork, Route, Way

__all__ = [
    "KEEPS_ALL",
    "KEEPS_NONE",
    "KEEPS_PERSISTENT",
    "KIND_EVENT",
    "KIND_REQUEST",
    "KIND_RESPONSE",
    "MAX_MESSAGE_BYTES_DEFAULT",
    "PAUSE_HELD",
    "PAUSE_METHOD",
    "PAUSE_OUTPUT",
    "PAUSE_PACE",
    "SHARD_COUNT_MAX",
    "ChannelCore",
    "ConnectionCore",
    "Fork",
    "GatewayCore",
    "Route",
    "RouteStamps",
    "Way",
]
