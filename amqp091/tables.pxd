"""Field tables in C: what amqp091/fields.pyx uses of amqp091/tables.pyx."""
from libc.stdint cimport uint8_t, uint32_t


# The table with its length word at data[at[0]]; moves at[0] behind it. SyntaxError_ where it is malformed.
cdef dict read_table(const uint8_t *data, size_t n, size_t *at)

# Appends the table with its length word. ValueError or TypeError for what AMQP cannot carry.
cdef int write_table(bytearray out, dict table) except -1

cdef int put32(bytearray out, uint32_t value) except -1
cdef int put_shortstr(bytearray out, str text) except -1
cdef str short_text(const uint8_t *data, size_t n)
