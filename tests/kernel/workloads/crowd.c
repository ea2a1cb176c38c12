// crowd now|gate THREADS FIRST LAST COUNT: threads that live at the same time; each makes COUNT times every call
// from number FIRST to LAST with arguments zero, and one openat that fails.
#define _GNU_SOURCE
#include "gate.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>

static long first, last, count;
static pthread_barrier_t all;

static void *work(void *unused)
{
    pthread_barrier_wait(&all);
    for (long number = first; number <= last; number++)
        for (long i = 0; i < count; i++) syscall(number, 0, 0, 0, 0, 0, 0);
    syscall(SYS_openat, AT_FDCWD, "/nonexistent/netprobe", O_RDONLY);
    pthread_barrier_wait(&all);
    return unused;
}

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv) || argc < 6) return 1;
    int threads = atoi(argv[2]);
    pthread_t members[threads];
    pthread_attr_t small;
    first = atol(argv[3]), last = atol(argv[4]), count = atol(argv[5]);
    pthread_barrier_init(&all, NULL, threads);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&members[i], &small, work, NULL)) return 2;
    for (int i = 0; i < threads; i++) pthread_join(members[i], NULL);
    return 0;
}
