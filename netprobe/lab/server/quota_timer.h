// Seastar's task quota timer: a thread that wakes at a fixed rate only to tell its reactor to yield.
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

// From the reactor's thread: the timer thread inherits its CPU.
void quota_timer_start(struct quota_timer *timer, int index, unsigned us, atomic_bool *preempt);
void quota_timer_stop(struct quota_timer *timer);
