// 10,007 getppid calls in three threads, unequal primes, and seven openat calls that fail.
#define _GNU_SOURCE
#include "gate.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>

static const struct share { const char *name; int calls; } shares[3] = {
    {"alpha", 5003}, {"beta", 3001}, {"gamma", 2003},
};

static void *work(void *argument)
{
    const struct share *share = argument;
    pthread_setname_np(pthread_self(), share->name);
    for (int i = 0; i < share->calls; i++) syscall(SYS_getppid);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[3];
    if (!open_gate(argc, argv)) return 1;
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, work, (void *)&shares[i]);
    for (int i = 0; i < 7; i++) syscall(SYS_openat, AT_FDCWD, "/nonexistent/netprobe", O_RDONLY);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    return argc > 2 ? 7 : 0;
}
