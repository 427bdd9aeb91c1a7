"""Memory that will be needed is asked for early, so that it is in the cache when its turn comes. Changes nothing."""

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define warren_fetch(place) __builtin_prefetch(place)
    #else
    #define warren_fetch(place) ((void) (place))
    #endif

    static inline void fetch_ahead(const void *place) {
        warren_fetch(place);
    }

    static inline void fetch_bytes_ahead(const void *place, size_t size) {
        const char *line = (const char *) place, *last = line + size - 1;
        for (; line < last; line += 64)
            warren_fetch(line);
        warren_fetch(last);
    }
    """
    # any address will do, NULL among them; the line that it lies in
    void fetch_ahead(const void *place) noexcept nogil
    # all lines of so many bytes, at least one
    void fetch_bytes_ahead(const void *place, size_t size) noexcept nogil
