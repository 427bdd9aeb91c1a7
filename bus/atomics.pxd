"""Atomic loads and stores for memory that two processes share (GCC and Clang builtins)."""
from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t warren_load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void warren_store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    static inline uint32_t warren_flag_load(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
    static inline void warren_flag_store(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    static inline uint32_t warren_flag_exchange(uint32_t *p, uint32_t v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
    static inline void warren_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
    """
    uint64_t load_acquire "warren_load_acquire"(const uint64_t *p) noexcept nogil
    void store_release "warren_store_release"(uint64_t *p, uint64_t v) noexcept nogil
    uint32_t flag_load "warren_flag_load"(const uint32_t *p) noexcept nogil
    void flag_store "warren_flag_store"(uint32_t *p, uint32_t v) noexcept nogil
    uint32_t flag_exchange "warren_flag_exchange"(uint32_t *p, uint32_t v) noexcept nogil
    void full_fence "warren_fence"() noexcept nogil
