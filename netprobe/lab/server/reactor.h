// One event loop: it owns a listener of the group, its connections and its counters.
#pragma once

#include "connections.h"
#include "group.h"
#include "options.h"
#include "quota_timer.h"

#include <stdatomic.h>

enum ask { ASK_STOP = 1, ASK_CLOSE_LISTENER = 2 };

struct reactor {
    const struct options *options;
    struct group *group;
    int index;
    int listener;              // or UDP socket; -1 once closed
    int control;               // eventfd that wakes the loop for a request (enum ask)
    int ready;                 // pipe: one byte when the loop is ready
    atomic_uint asked;
    atomic_bool preempt;       // set by the quota timer: interrupt the batch and poll again
    struct quota_timer timer;
    struct connections connections;
    uint64_t requests, accepted, refused;
};

void reactor_open(struct reactor *reactor, struct group *group, int index, int ready);
// Serves until ASK_STOP, in the calling thread, whose name and CPU affinity it sets.
void reactor_run(struct reactor *reactor);
void reactor_close(struct reactor *reactor);  // prints the counters

// Can be called in any thread or signal handler.
void reactor_ask(struct reactor *reactor, enum ask ask);

// For the backends.
void reactor_ready(struct reactor *reactor);
void reactor_close_listener(struct reactor *reactor);
void reactor_work(struct reactor *reactor, unsigned requests);
struct connection *reactor_accepted(struct reactor *reactor, int fd);  // NULL: the table is full, fd is closed
static inline bool reactor_asked(struct reactor *reactor, enum ask ask)
{
    return atomic_load_explicit(&reactor->asked, memory_order_acquire) & ask;
}
static inline bool reactor_interrupted(struct reactor *reactor)
{
    return atomic_load_explicit(&reactor->preempt, memory_order_relaxed) ||
           atomic_load_explicit(&reactor->asked, memory_order_relaxed);
}
static inline void reactor_resume(struct reactor *reactor)
{
    atomic_store_explicit(&reactor->preempt, false, memory_order_relaxed);
}

void epoll_serve(struct reactor *reactor);
void uring_serve(struct reactor *reactor);
