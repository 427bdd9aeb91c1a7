"""Where dead letters go, remembered per queue and routing keys. See letter_routes.pyx."""
from amqp091.scanner cimport ContentHeader
from log.store cimport Message
from shards.engine.burial_state cimport LetterRoute, LetterRoutes
from shards.engine.state cimport EngineState, Queue


# The route of a message that dies in the queue. Good until the next call, or one of forget_routes.
cdef LetterRoute *find_route(EngineState engine, Queue *queue, const Message *message,
                             const ContentHeader *header) except NULL
# Where that depends on the message: asked for this one. `letter` is what would be delivered; the caller frees it.
cdef LetterRoute *ask_for_message(EngineState engine, Queue *queue, const LetterRoute *route,
                                  const Message *letter) except NULL
cdef void forget_routes(LetterRoutes *routes) noexcept
