// pingpong now|gate N: two threads on one CPU hand a token back and forth N times through pipes.
// Each prints what the kernel says of its own switches in that time: NAME VOLUNTARY INVOLUNTARY.
#define _GNU_SOURCE
#include "gate.h"
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>

static int there[2], back[2], rounds;

static void report(const char *name)
{
    struct rusage own;
    getrusage(RUSAGE_THREAD, &own);
    printf("%s %ld %ld\n", name, own.ru_nvcsw, own.ru_nivcsw);
}

// Of two real-time threads of one priority none preempts the other: a hand-over is one voluntary switch.
static void alone_on_cpu(void)
{
    cpu_set_t set;
    struct sched_param priority = {.sched_priority = 1};
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    sched_setaffinity(0, sizeof set, &set);
    sched_setscheduler(0, SCHED_FIFO, &priority);
}

static void *pong(void *unused)
{
    char token;
    pthread_setname_np(pthread_self(), "pong");
    for (int i = 0; i < rounds; i++)
        if (read(there[0], &token, 1) != 1 || write(back[1], &token, 1) != 1) exit(2);
    report("pong");
    return unused;
}

int main(int argc, char **argv)
{
    char token = 't';
    pthread_t other;
    if (!open_gate(argc, argv)) return 1;
    pthread_setname_np(pthread_self(), "ping");
    rounds = atoi(argv[2]);
    if (pipe(there) || pipe(back)) return 2;
    alone_on_cpu();
    report("start");
    pthread_create(&other, NULL, pong, NULL);
    for (int i = 0; i < rounds; i++)
        if (write(there[1], &token, 1) != 1 || read(back[0], &token, 1) != 1) return 2;
    pthread_join(other, NULL);
    report("ping");
    return 0;
}
