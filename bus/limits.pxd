"""The limits of bus/limits.py for compiled code; a test compares the two."""

cdef enum:
    CONNECTION_WINDOW_BYTES = 1048576
    LINK_BATCH_BYTES_MAX = 1073741824
    ROOM_BODY_BYTES_MAX = 15728640
    LENT_BODY_BYTES_MIN = 16384
