"""What the next publishes and deliveries will look at. See expecting.pyx."""
from libc.stdint cimport uint8_t, uint32_t

from gateway.core.state cimport ChannelState, ConnectionState, GatewayState

cdef enum:
    # With fewer routes than these nothing is waited for: all of them are in the first or second cache.
    EXPECTED_ROUTES_MIN = 512


# Both look at some of what begins at `position`, and return where they stopped. Nothing in it needs to be true.
cdef size_t expect_routes(
    ConnectionState connection, ChannelState channel, const uint8_t *data, size_t position, size_t n) noexcept
cdef size_t expect_consumers(GatewayState gateway, const uint8_t *data, size_t position, size_t n) noexcept
