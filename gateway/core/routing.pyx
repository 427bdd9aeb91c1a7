# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Finds the route of a publish: in the channel's memory, over the forks on the way, and else by the hook `route`.

What a route depends on is asked once per exchange (`route_scope`): on nothing more, on the routing keys, or on the
headers as well. That is what it is remembered by. What is chosen per message is never a part of it.
"""
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from amqp091.scanner cimport ContentHeader, Publish
from gateway.core.route_cache cimport (
    EXTRA_BCC, EXTRA_CC, EXTRA_HEADERS, ROUTE_BY_COPIES, ROUTE_BY_EXCHANGE, ROUTE_BY_HEADERS, ROUTE_WITH_DELAY,
    CachedRoute, RouteKey, find_route, remember_route,
)
from gateway.core.route_stamps cimport Stamps
from gateway.core.routes cimport Fork, Route, Way
from gateway.core.special_headers cimport HEADER_COPIES, SpecialHeaders, routing_keys
from gateway.core.state cimport ChannelState

cdef enum:
    # what the hook route_scope answers: flags, as in topology/routing.py
    SCOPE_KEY = 1
    SCOPE_HEADERS = 2


cdef Route route_of(
    ChannelState channel, const Publish *method, const ContentHeader *header, const SpecialHeaders *special
):
    """From the channel's memory, or from the Python side (which raises where the publish is not allowed)."""
    cdef Way way = way_of(channel, method, header, special)
    cdef Way onward
    cdef Fork first, fork
    cdef uint32_t index
    if not way.is_fork:
        return <Route> way
    first = fork = <Fork> way
    while True:
        index = fork.choice.index_of(method.routing_key, method.routing_key_bytes, header)
        onward = <Way> fork.ways[index]
        if onward is None:
            onward = ask_way(channel, method, header, special, True, fork.path + (index,))
            fork.remember(index, onward, first)
        if not onward.is_fork:
            return <Route> onward
        fork = <Fork> onward


cdef Way way_of(
    ChannelState channel, const Publish *method, const ContentHeader *header, const SpecialHeaders *special
):
    """What is remembered for the exchange alone, or with the routing keys, or with the headers too."""
    cdef const Stamps *stamps = channel.gateway.stamps_at
    cdef uint64_t since = stamps.now
    cdef RouteKey key, exchange_key
    cdef CachedRoute *known
    cdef uint32_t scope
    cdef bint by_headers = False
    cdef Way way
    key.vhost = channel.connection.vhost_hash
    key.kind = ROUTE_WITH_DELAY if special.delay_ms else 0
    key.exchange = method.exchange
    key.exchange_bytes = method.exchange_bytes
    key.routing_key = method.routing_key
    key.routing_key_bytes = method.routing_key_bytes
    if special.found & HEADER_COPIES:
        key.kind |= ROUTE_BY_COPIES
        memset(key.extras, 0, sizeof(key.extras))
        key.extras[EXTRA_CC].data = special.cc
        key.extras[EXTRA_CC].bytes = special.cc_bytes
        key.extras[EXTRA_BCC].data = special.bcc
        key.extras[EXTRA_BCC].bytes = special.bcc_bytes
    known = find_route(&channel.routes, &key, stamps)
    if known != NULL:
        return <Way> known.way
    exchange_key.vhost = key.vhost
    exchange_key.kind = ROUTE_BY_EXCHANGE | key.kind & ROUTE_WITH_DELAY
    exchange_key.exchange = exchange_key.routing_key = method.exchange
    exchange_key.exchange_bytes = method.exchange_bytes
    exchange_key.routing_key_bytes = 0
    known = find_route(&channel.routes, &exchange_key, stamps)
    if known == NULL:
        scope = (<object> channel).route_scope(<bytes> method.exchange[:method.exchange_bytes])
        if scope & SCOPE_HEADERS:
            if stamps.now == since and not channel.is_closed:
                remember_route(&channel.routes, &exchange_key, None, stamps, since)
            by_headers = True
        elif not scope & SCOPE_KEY:
            key = exchange_key
    elif known.way != NULL:
        return <Way> known.way
    else:
        by_headers = True
    if by_headers:
        if not key.kind & ROUTE_BY_COPIES:
            memset(key.extras, 0, sizeof(key.extras))
        key.kind |= ROUTE_BY_HEADERS
        key.extras[EXTRA_HEADERS].data = header.headers
        key.extras[EXTRA_HEADERS].bytes = header.headers_bytes if header.headers != NULL else 0
        known = find_route(&channel.routes, &key, stamps)
        if known != NULL:
            return <Way> known.way
    way = ask_way(channel, method, header, special, key.kind & ROUTE_BY_HEADERS, ())
    if stamps.now == since and not channel.is_closed:
        remember_route(&channel.routes, &key, way, stamps, since)
    return way


cdef Way ask_way(
    ChannelState channel, const Publish *method, const ContentHeader *header, const SpecialHeaders *special,
    bint with_headers, tuple path,
):
    cdef bytes headers = None
    if with_headers:
        headers = header.headers[:header.headers_bytes] if header.headers != NULL else b""
    way = (<object> channel).route(
        <bytes> method.exchange[:method.exchange_bytes],
        routing_keys(method.routing_key, method.routing_key_bytes, special),
        headers, special.delay_ms != 0, path)
    if not isinstance(way, Way):
        raise TypeError("route() must return a Route or a Fork")
    return <Way> way
