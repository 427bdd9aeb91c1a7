# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bodies that a shard has lent: from its log to the socket, with one copy, the kernel's.

Between the bytes of a connection's output stand pieces: bytes that lie in a file of a shard's log (bus/lent.pyx). They
stay valid until the batch that named them is given back to the link, so before that happens they are written to the
socket (`send_straight`, one sendmsg for many pieces), or, as far as that takes no more, copied (`keep_lent`). From then
on the output is a run of bytes like any other.
"""
from libc.errno cimport EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from amqp091.renderer cimport deliver_head_bytes, piece_bytes_max, write_body_head, write_deliver_head
from amqp091.scanner cimport FRAME_HEAD_BYTES
from bus.batch cimport Batch
from bus.lent cimport LentFile
from bus.records cimport DeliverRecord, LentBody
from gateway.core.state cimport (
    ChannelState, ConnectionState, Consumer, GatewayState, Piece, fresh_output, list_credit, reserve_output,
    spare_output,
)

from bus.bad_record import BadRecord

cdef extern from "sys/uio.h" nogil:
    struct iovec:
        void *iov_base
        size_t iov_len

cdef extern from "sys/socket.h" nogil:
    struct msghdr:
        iovec *msg_iov
        size_t msg_iovlen
    ssize_t sendmsg(int descriptor, const msghdr *message, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    FRAME_END_BYTES = 1
    FRAME_END = 0xCE
    FIRST_PIECES = 16
    VECTORS_MAX = 128           # of one sendmsg; the kernel takes 1024


cdef const uint8_t *find_lent(GatewayState gateway, uint32_t shard, const DeliverRecord *record) except? NULL:
    """The body that a record names. NULL where the file could not be opened; BadRecord for a place outside of it."""
    cdef const LentBody *place = <const LentBody *> (record + 1)
    cdef const uint8_t *body
    file = (<dict> gateway.lent_files[shard]).get(place.file)
    if file is None:
        return NULL
    body = (<LentFile> file).at(place.position, record.body_bytes)
    if body == NULL:
        raise BadRecord(f"shard {shard}: a body of {record.body_bytes} bytes is not at {place.position} of its file")
    return body


cdef Piece *next_piece(ConnectionState connection) except NULL:
    cdef uint32_t capacity
    cdef Piece *grown
    if connection.piece_count == connection.piece_capacity:
        capacity = 2 * connection.piece_capacity if connection.piece_capacity else FIRST_PIECES
        grown = <Piece *> realloc(connection.pieces, capacity * sizeof(Piece))
        if grown == NULL:
            raise MemoryError()
        connection.pieces = grown
        connection.piece_capacity = capacity
    if connection.piece_count == 0:
        connection.gateway.lent_connections.append(connection)
    connection.piece_count += 1
    return &connection.pieces[connection.piece_count - 1]


cdef int write_lent(
    ConnectionState connection, Consumer *consumer, uint64_t delivery_tag, bint redelivered,
    const uint8_t *exchange, uint8_t exchange_bytes, const uint8_t *routing_key, uint8_t routing_key_bytes,
    const uint8_t *properties, uint32_t properties_bytes, const uint8_t *body, uint32_t body_bytes
) except -1:
    """basic.deliver with its content, of which the body's bytes stay where they are."""
    cdef uint16_t number = (<ChannelState> consumer.channel).number
    cdef uint32_t piece_max = piece_bytes_max(connection.frame_max)
    cdef uint32_t left = body_bytes, n
    cdef Piece *piece
    cdef uint8_t *out = reserve_output(
        connection, deliver_head_bytes(consumer.tag_bytes, exchange_bytes, routing_key_bytes, properties_bytes))
    write_deliver_head(
        out, number, consumer.tag, consumer.tag_bytes, delivery_tag, redelivered, exchange, exchange_bytes,
        routing_key, routing_key_bytes, properties, properties_bytes, body_bytes)
    while left:
        n = piece_max if left > piece_max else left
        out = reserve_output(connection, FRAME_HEAD_BYTES + FRAME_END_BYTES)
        out = write_body_head(out, number, n)
        out[0] = FRAME_END
        piece = next_piece(connection)
        piece.offset = connection.output.size - FRAME_END_BYTES
        piece.data = body
        piece.size = n
        connection.piece_bytes += n
        body += n
        left -= n
    return 0


cdef int keep_rest(ConnectionState connection, size_t position, uint32_t first, size_t offset) except -1:
    """The output is what is left of it: from `position` of its own bytes on, and `offset` of its piece `first`."""
    cdef Batch output = connection.output
    cdef Batch rest
    cdef Piece *piece
    cdef uint32_t i
    if position == output.size and first == connection.piece_count:
        connection.output = None
    else:
        rest = fresh_output(connection.gateway)
        for i in range(first, connection.piece_count):
            piece = &connection.pieces[i]
            rest.append(output.data + position, piece.offset - position)
            rest.append(piece.data + offset, piece.size - offset)
            position = piece.offset
            offset = 0
        rest.append(output.data + position, output.size - position)
        connection.output = rest
    connection.piece_count = 0
    connection.piece_bytes = 0
    spare_output(connection.gateway, output)
    return 0


cdef int keep_lent(ConnectionState connection) except -1:
    """Copies what was lent: the output needs nobody else's memory any more."""
    if connection.piece_count:
        keep_rest(connection, 0, 0, 0)
    return 0


cdef void drop_output(ConnectionState connection) noexcept:
    """Of a connection that cannot be written to: it needs nobody's memory any more."""
    connection.output = None
    connection.piece_count = 0
    connection.piece_bytes = 0


cdef size_t send_straight(ConnectionState connection, int descriptor) except? 0xFFFFFFFF:
    """Writes output and pieces to a socket in which nothing waits; returns how much it took. What it did not take is
    kept. Errors of the socket are left for its owner to meet."""
    cdef iovec vectors[VECTORS_MAX]
    cdef msghdr message
    cdef Batch output = connection.output
    cdef size_t position = 0, offset = 0, wanted, sent = 0, n, here
    cdef uint32_t first = 0, i
    cdef size_t count
    cdef ssize_t taken
    if connection.piece_count == 0:
        return 0
    memset(&message, 0, sizeof(message))
    message.msg_iov = vectors
    while first < connection.piece_count or position < output.size:
        count = 0
        wanted = 0
        here = position
        i = first
        n = offset
        while count + 2 <= VECTORS_MAX:
            if i < connection.piece_count:
                wanted += add(vectors, &count, output.data + here, connection.pieces[i].offset - here)
                wanted += add(vectors, &count, connection.pieces[i].data + n, connection.pieces[i].size - n)
                here = connection.pieces[i].offset
                n = 0
                i += 1
            else:
                wanted += add(vectors, &count, output.data + here, output.size - here)
                break
        message.msg_iovlen = count
        with nogil:
            taken = sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
        if taken < 0:
            if errno == EINTR:
                continue
            break
        sent += taken
        n = <size_t> taken
        while n and first < connection.piece_count:
            here = connection.pieces[first].offset - position
            if n < here:
                position += n
                n = 0
                break
            position += here
            n -= here
            if n < connection.pieces[first].size - offset:
                offset += n
                n = 0
                break
            n -= connection.pieces[first].size - offset
            offset = 0
            first += 1
        position += n
        if <size_t> taken < wanted:
            break
    keep_rest(connection, position, first, offset)
    list_credit(connection)
    return sent


cdef inline size_t add(iovec *vectors, size_t *count, const uint8_t *data, size_t n) noexcept nogil:
    if n:
        vectors[count[0]].iov_base = <void *> data
        vectors[count[0]].iov_len = n
        count[0] += 1
    return n
