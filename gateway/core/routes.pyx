# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Where messages go.

A Route is immutable and says which queues of which shards get a message. A Fork stands for an exchange that sends each
message one of several ways: it says how to choose, and remembers where each of the ways leads, which may be another
fork. So what is decided per message costs a choice, and Python is asked once for each way.

Neither decides anything about names: both are answers of the hook ChannelCore.route.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, malloc

from topology.choice cimport Choice

cdef enum:
    QUEUES_PER_RECORD_MAX = 65535
    # behind one first fork: the ways of several choices in a row multiply. Others are asked for each time.
    WAYS_REMEMBERED_MAX = 1 << 14

KEEPS_NONE = TARGET_KEEPS_NONE
KEEPS_PERSISTENT = TARGET_KEEPS_PERSISTENT
KEEPS_ALL = TARGET_KEEPS_ALL


cdef class Route(Way):
    def __cinit__(self, targets=(), bint returns_mandatory=False, *, delayed=()):
        cdef list groups = []
        cdef list members
        cdef uint32_t i, position = 0, queue_total = 0
        self.now_targets = checked(targets)
        self.delayed_targets = checked(delayed)
        self.has_delayed = len(self.delayed_targets) > 0
        self.returns_mandatory = returns_mandatory
        groups += grouped(self.now_targets, False)
        groups += grouped(self.delayed_targets, True)
        self.group_count = <uint32_t> len(groups)
        if self.group_count == 0:
            return
        queue_total = <uint32_t> (len(self.now_targets) + len(self.delayed_targets))
        if queue_total == 1:
            self.groups = &self.only_group
            self.queue_ids = &self.only_queue
        else:
            self.groups = <RouteGroup *> calloc(self.group_count, sizeof(RouteGroup))
            self.queue_ids = <uint32_t *> malloc(queue_total * sizeof(uint32_t))
        if self.groups == NULL or self.queue_ids == NULL:
            raise MemoryError()
        for i in range(self.group_count):
            shard, is_delayed, members = groups[i]
            self.groups[i].shard = shard
            self.groups[i].delayed = is_delayed
            self.groups[i].first_queue = position
            self.groups[i].queue_count = <uint16_t> len(members)
            for queue_id, durable in members:
                self.queue_ids[position] = queue_id
                position += 1
                if <uint8_t> durable > self.groups[i].durable:
                    self.groups[i].durable = durable

    def __dealloc__(self):
        if self.groups != &self.only_group:
            free(self.groups)
            free(self.queue_ids)

    @property
    def targets(self):
        return list(self.now_targets)

    @property
    def delayed(self):
        return list(self.delayed_targets)

    def __repr__(self):
        return f"Route({list(self.now_targets)!r}, delayed={list(self.delayed_targets)!r})"


cdef tuple checked(targets):
    """The targets as a tuple, those of one shard together."""
    cdef dict by_shard = {}
    for shard, queue_id, durable in targets:
        if not 0 <= shard <= 0xFFF:
            raise ValueError(f"shard {shard} is out of range")
        if not 0 <= queue_id <= 0xFFFFFFFF:
            raise ValueError(f"queue id {queue_id} does not fit 32 bits")
        if not TARGET_KEEPS_NONE <= durable <= TARGET_KEEPS_ALL:
            raise ValueError(f"{durable} does not say when a queue keeps a message on the disk")
        by_shard.setdefault(shard, []).append((shard, queue_id, int(durable)))
    return tuple([target for shard in by_shard for target in by_shard[shard]])


cdef list grouped(tuple targets, bint is_delayed):
    """(shard, is_delayed, [(queue_id, durable)]) of what goes into one record."""
    cdef list groups = []
    cdef list members = []
    last = None
    for shard, queue_id, durable in targets:
        if shard != last or len(members) == QUEUES_PER_RECORD_MAX:
            members = []
            groups.append((shard, is_delayed, members))
            last = shard
        members.append((queue_id, durable))
    return groups


cdef class Fork(Way):
    def __cinit__(self, Choice choice not None, tuple path not None=()):
        self.is_fork = True
        self.choice = choice
        self.path = path
        self.ways = [None] * len(choice.destinations)

    cdef int remember(self, uint32_t index, Way way, Fork first) except -1:
        if first.remembered < WAYS_REMEMBERED_MAX:
            first.remembered += 1
            self.ways[index] = way
        return 0

    def __repr__(self):
        return f"Fork({self.choice.destinations!r}, {self.path!r})"
