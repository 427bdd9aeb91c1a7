# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What shards answer to publishes, and what the client and the Python side are told at the end of a call.

A watermark only marks; `finish` then writes one basic.ack per channel for the prefix that
is answered, calls on_tx_committed where a commit has been answered whole, and on_settled
where the client has settled deliveries of a channel that wants to know.
"""
from libc.stdint cimport uint32_t, uint64_t

from amqp091.renderer cimport ACK_FRAME_BYTES, write_ack
from gateway.core.confirms cimport (
    LEVEL_COUNT, LEVEL_DURABLE, LEVEL_PROCESSED, Answered, Run, RunQueue, answer, drop_first_run, first_run,
    free_runs, take_answered,
)
from gateway.core.handles cimport HandleTable, handle_value
from gateway.core.publishing cimport refuse_publish
from gateway.core.state cimport ChannelState, GatewayState, list_confirm, reserve_output


cdef inline ChannelState open_channel(GatewayState gateway, uint32_t handle):
    """The channel, or None where it was closed since."""
    cdef void *value = handle_value(&gateway.channels, handle)
    if value == NULL or (<ChannelState> value).is_closed:
        return None
    return <ChannelState> value


cdef int reach_watermark(GatewayState gateway, uint32_t shard, uint64_t processed, uint64_t durable) except -1:
    reach(gateway, &gateway.shards[shard].runs[LEVEL_PROCESSED], processed)
    reach(gateway, &gateway.shards[shard].runs[LEVEL_DURABLE], durable)
    return 0


cdef int reach(GatewayState gateway, RunQueue *runs, uint64_t batch) except -1:
    cdef Run *run = first_run(runs)
    cdef ChannelState channel
    while run != NULL and run.batch <= batch:
        channel = open_channel(gateway, run.channel)
        if channel is not None:
            answer(&channel.window, run.first, run.count)
            list_confirm(channel)
        drop_first_run(runs)
        run = first_run(runs)
    return 0


cdef int refuse_by_record(GatewayState gateway, uint32_t channel_handle, uint64_t number) except -1:
    cdef ChannelState channel = open_channel(gateway, channel_handle)
    if channel is not None:
        refuse_publish(channel, number)
    return 0


cdef int refuse_in_flight(GatewayState gateway, uint32_t shard) except -1:
    """The shard died: what it had not answered is nacked."""
    cdef uint32_t i
    cdef int level
    cdef RunQueue *runs
    cdef Run *run
    cdef ChannelState channel
    for level in range(LEVEL_COUNT):
        runs = &gateway.shards[shard].runs[level]
        run = first_run(runs)
        while run != NULL:
            channel = open_channel(gateway, run.channel)
            if channel is not None:
                for i in range(run.count):
                    refuse_publish(channel, run.first + i)
            drop_first_run(runs)
            run = first_run(runs)
        free_runs(runs)
    return 0


cdef void renumber_runs(GatewayState gateway, uint32_t shard, uint64_t batch) noexcept:
    """What was published while the shard was down rides in the first batch of its new link."""
    cdef RunQueue *runs
    cdef uint32_t i
    cdef int level
    for level in range(LEVEL_COUNT):
        runs = &gateway.shards[shard].runs[level]
        for i in range(runs.count):
            runs.runs[(runs.head + i) & (runs.capacity - 1)].batch = batch


cdef int finish(GatewayState gateway) except -1:
    """The end of every call that may have answered or settled something. Goes on after an exception of a hook."""
    cdef ChannelState channel
    cdef void *value
    failure = None
    while gateway.to_confirm.count:
        gateway.to_confirm.count -= 1
        value = handle_value(&gateway.channels, gateway.to_confirm.items[gateway.to_confirm.count])
        if value == NULL:
            continue
        channel = <ChannelState> value
        channel.confirm_listed = False
        if channel.is_closed:
            continue
        try:
            confirm(channel)
        except Exception as error:
            failure = failure or error
    while gateway.to_notify.count:
        gateway.to_notify.count -= 1
        value = handle_value(&gateway.channels, gateway.to_notify.items[gateway.to_notify.count])
        if value == NULL:
            continue
        channel = <ChannelState> value
        channel.notify_listed = False
        if channel.is_closed:
            continue
        try:
            (<object> channel).on_settled()
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return 0


cdef int confirm(ChannelState channel) except -1:
    cdef Answered answered = take_answered(&channel.window)
    cdef bint ok
    if channel.is_transactional:
        if channel.transaction.committing and channel.window.base == channel.window.next:
            ok = not channel.transaction.failed
            channel.transaction.committing = False
            channel.transaction.failed = False
            (<object> channel).on_tx_committed(ok)
    elif answered.count and not channel.closing and not channel.connection.closing:
        write_ack(
            reserve_output(channel.connection, ACK_FRAME_BYTES), channel.number, answered.last, answered.count > 1)
    return 0
