// The task quota timer of Seastar: a thread that wakes up at a fixed rate and sets its reactor's preempt flag.
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct quota_timer {
    pthread_t thread;
    int index, fd;
    atomic_bool stopping;
    atomic_bool *preempt;
};

// Called in the reactor's thread, because the timer thread inherits its CPU affinity.
void quota_timer_start(struct quota_timer *timer, int index, unsigned us, atomic_bool *preempt);
void quota_timer_stop(struct quota_timer *timer);
