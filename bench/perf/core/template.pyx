# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A publish as ready frames: a head per routing key, a tail that all share, and the stamp that makes each its own.

The head is basic.publish with the content header, the tail is the body frames. A message is two copies and 24 bytes
written over the start of the body: see template.pxd for what stands in the stamp. A body that is shorter has as much
of the stamp as fits, in whole fields.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from amqp091.scanner cimport FRAME_BODY, FRAME_HEAD_BYTES, Frame, next_frame

STAMP_SIZE = STAMP_BYTES


cdef class Template:
    """Made of bytes once, never changed."""

    def __cinit__(self, list heads not None, bytes tail not None, uint32_t run=0):
        cdef Py_ssize_t i
        cdef Frame frame
        if not heads:
            raise ValueError("a template needs a head")
        self.kept = [bytes(head) for head in heads] + [tail]
        self.keys = <uint32_t> len(heads)
        self.run = run
        self.heads = <const uint8_t **> malloc(self.keys * sizeof(uint8_t *))
        self.head_bytes = <size_t *> malloc(self.keys * sizeof(size_t))
        if self.heads == NULL or self.head_bytes == NULL:
            raise MemoryError()
        for i in range(self.keys):
            self.heads[i] = <const uint8_t *> PyBytes_AS_STRING(self.kept[i])
            self.head_bytes[i] = PyBytes_GET_SIZE(self.kept[i])
        self.tail = <const uint8_t *> PyBytes_AS_STRING(tail)
        self.tail_bytes = PyBytes_GET_SIZE(tail)
        self.body_at = FRAME_HEAD_BYTES
        self.stamp_bytes = 0
        if self.tail_bytes:
            if next_frame(self.tail, self.tail_bytes, 0, &frame) <= 0 or frame.type != FRAME_BODY:
                raise ValueError("the tail of a template is body frames")
            self.stamp_bytes = (STAMP_BYTES if frame.size >= STAMP_BYTES else
                                STAMP_PRODUCER if frame.size >= STAMP_PRODUCER else
                                STAMP_SEQUENCE if frame.size >= STAMP_SEQUENCE else 0)

    def __dealloc__(self):
        free(self.heads)
        free(self.head_bytes)

    cdef size_t message_bytes(self, uint32_t key) noexcept:
        return self.head_bytes[key] + self.tail_bytes

    cdef uint8_t *render(self, uint8_t *out, uint32_t key, const Stamp *stamp) noexcept:
        memcpy(out, self.heads[key], self.head_bytes[key])
        out += self.head_bytes[key]
        if self.tail_bytes:
            memcpy(out, self.tail, self.tail_bytes)
            memcpy(out + self.body_at, stamp, self.stamp_bytes)
        return out + self.tail_bytes

    def message(self, uint32_t key, uint64_t time_ns, uint64_t sequence, uint32_t producer) -> bytes:
        """One message, for tests."""
        cdef Stamp stamp
        cdef bytearray out
        if key >= self.keys:
            raise IndexError(key)
        stamp.time_ns, stamp.sequence, stamp.producer, stamp.run = time_ns, sequence, producer, self.run
        out = bytearray(self.message_bytes(key))
        self.render(<uint8_t *> <char *> out, key, &stamp)
        return bytes(out)
