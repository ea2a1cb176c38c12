#include "reactor.h"

#include "fail.h"
#include "work.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096u
#define OTHER_FILES 64u

// Below RLIMIT_NOFILE, because a level-triggered loop would spin if accept failed with EMFILE.
static uint32_t capacity(const struct options *o)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        fail("getrlimit");
    rlim_t taken = OTHER_FILES + o->extra_listeners + 5 * o->reactors;
    if (files.rlim_cur <= taken)
        fail_with("RLIMIT_NOFILE", EMFILE);
    rlim_t room = (files.rlim_cur - taken) / (o->processes ? 1 : o->reactors);
    if (room == 0)
        fail_with("RLIMIT_NOFILE", EMFILE);
    return room < MAX_CONNECTIONS ? room : MAX_CONNECTIONS;
}

void reactor_open(struct reactor *reactor, struct group *group, int index, int ready)
{
    *reactor = (struct reactor){
        .options = group->options, .group = group, .index = index, .ready = ready, .listener = -1,
    };
    reactor->control = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (reactor->control < 0)
        fail("eventfd");
    connections_open(&reactor->connections, group->options->udp ? 1 : capacity(group->options));
}

void reactor_close(struct reactor *reactor)
{
    fprintf(stderr, "reactor-%d requests=%lu accepted=%lu\n", reactor->index, reactor->requests,
            reactor->accepted);
    if (reactor->refused)
        fprintf(stderr, "reactor-%d refused=%lu: connection table full\n", reactor->index, reactor->refused);
    connections_close(&reactor->connections);
    close(reactor->control);
}

static void pin(int cpu)
{
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    if (!set)
        fail("CPU_ALLOC");
    CPU_ZERO_S(size, set);
    CPU_SET_S(cpu, size, set);
    if (sched_setaffinity(0, size, set))
        fail("sched_setaffinity");
    CPU_FREE(set);
}

void reactor_run(struct reactor *reactor)
{
    const struct options *o = reactor->options;
    char name[16];
    snprintf(name, sizeof name, "reactor-%d", reactor->index);
    pthread_setname_np(pthread_self(), name);
    if (o->cpus[reactor->index] != NO_CPU)
        pin(o->cpus[reactor->index]);
    // Forked workers inherit listeners from their parent; threads create their own.
    if (!o->processes)
        reactor->listener = group_join(reactor->group, reactor->index);
    if (o->quota_timer_us)
        quota_timer_start(&reactor->timer, reactor->index, o->quota_timer_us, &reactor->preempt);
    if (o->io_uring)
        uring_serve(reactor);
    else
        epoll_serve(reactor);
    if (o->quota_timer_us)
        quota_timer_stop(&reactor->timer);
}

void reactor_ask(struct reactor *reactor, enum ask ask)
{
    int before = errno;  // may run in a signal handler
    atomic_fetch_or(&reactor->asked, ask);
    eventfd_write(reactor->control, 1);
    errno = before;
}

void reactor_ready(struct reactor *reactor)
{
    if (write(reactor->ready, "", 1) != 1)
        fail("write");
    // When the ends of all workers are closed, the parent reads end of file if a worker has died.
    if (reactor->options->processes)
        close(reactor->ready);
}

void reactor_close_listener(struct reactor *reactor)
{
    int index = reactor->options->close_listener;
    atomic_fetch_and(&reactor->asked, ~(unsigned)ASK_CLOSE_LISTENER);
    if (reactor->group->listeners[index] == reactor->listener)
        reactor->listener = -1;
    group_close_listener(reactor->group, index);
}

void reactor_work(struct reactor *reactor, unsigned requests)
{
    reactor->requests += requests;
    if (reactor->options->work_us == 0)
        return;
    while (requests-- && !reactor_asked(reactor, ASK_STOP))
        work(reactor->options->work_us);
}

struct connection *reactor_accepted(struct reactor *reactor, int fd)
{
    struct connection *connection = connections_add(&reactor->connections, fd);
    if (connection) {
        reactor->accepted++;
    } else {
        reactor->refused++;
        close(fd);
    }
    return connection;
}
