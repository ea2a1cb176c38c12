#include "quota_timer.h"

#include "fail.h"

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void *tick(void *argument)
{
    struct quota_timer *timer = argument;
    char name[16];
    snprintf(name, sizeof name, "timer-%d", timer->index);
    pthread_setname_np(pthread_self(), name);
    while (!atomic_load(&timer->stopping)) {
        uint64_t expirations;
        if (read(timer->fd, &expirations, sizeof expirations) == sizeof expirations)
            atomic_store(timer->preempt, true);
    }
    return NULL;
}

static void set_period(int fd, long first_ns, long period_ns)
{
    struct itimerspec when = {
        .it_value = {first_ns / 1000000000, first_ns % 1000000000},
        .it_interval = {period_ns / 1000000000, period_ns % 1000000000},
    };
    if (timerfd_settime(fd, 0, &when, NULL))
        fail("timerfd_settime");
}

void quota_timer_start(struct quota_timer *timer, int index, unsigned us, atomic_bool *preempt)
{
    timer->index = index;
    timer->preempt = preempt;
    timer->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (timer->fd < 0)
        fail("timerfd_create");
    set_period(timer->fd, us * 1000L, us * 1000L);
    int error = pthread_create(&timer->thread, NULL, tick, timer);
    if (error)
        fail_with("pthread_create", error);
    // Real-time if permitted, as in Seastar: a tick then preempts the reactor at once.
    struct sched_param priority = {.sched_priority = 1};
    pthread_setschedparam(timer->thread, SCHED_FIFO, &priority);
}

void quota_timer_stop(struct quota_timer *timer)
{
    atomic_store(&timer->stopping, true);
    set_period(timer->fd, 1, 0);
    pthread_join(timer->thread, NULL);
    close(timer->fd);
}
