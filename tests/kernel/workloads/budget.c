// budget now|gate MILLISECONDS: threads that run, wait for a CPU and sleep in known ways. Each prints at its end its
// name, thread number, CPU time (CLOCK_THREAD_CPUTIME_ID) and the time of its body (CLOCK_MONOTONIC), in nanoseconds.
#define _GNU_SOURCE
#include "gate.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t deadline;
static int over(void) { return clock_ns(CLOCK_MONOTONIC) >= deadline; }
static void nap(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

static void pin(void)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void burn(void)
{
    pin();
    while (!over())
        ;
}

static void sleeper(void)
{
    while (!over()) nap(5000000);
}

static void poller(void)
{
    while (!over()) poll(NULL, 0, 3);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ticked = PTHREAD_COND_INITIALIZER;
static int tickets;

static void ticker(void)
{
    while (!over()) {
        nap(2000000);
        pthread_mutex_lock(&lock);
        tickets++;
        pthread_cond_signal(&ticked);
        pthread_mutex_unlock(&lock);
    }
    pthread_mutex_lock(&lock);
    tickets = -1;
    pthread_cond_signal(&ticked);
    pthread_mutex_unlock(&lock);
}

static void waiter(void)
{
    pthread_mutex_lock(&lock);
    while (tickets >= 0) {
        while (!tickets) pthread_cond_wait(&ticked, &lock);
        if (tickets > 0) tickets--;
    }
    pthread_mutex_unlock(&lock);
}

static int pipe_ends[2], backend_port;

static void feeder(void)
{
    while (!over()) {
        nap(4000000);
        if (write(pipe_ends[1], "x", 1) != 1) abort();
    }
    close(pipe_ends[1]);
}

static void reader(void)
{
    char byte;
    while (read(pipe_ends[0], &byte, 1) == 1)
        ;
}

static int listener;

// Answers each byte after 4 ms.
static void backend(void)
{
    char byte;
    int client = accept(listener, NULL, NULL);
    while (recv(client, &byte, 1, 0) == 1) {
        nap(4000000);
        if (send(client, &byte, 1, 0) != 1) abort();
    }
    close(client);
}

static void client(void)
{
    char byte = 'x';
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = backend_port};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) abort();
    while (!over())
        if (send(fd, &byte, 1, 0) != 1 || recv(fd, &byte, 1, 0) != 1) abort();
    close(fd);
}

struct part { const char *name; void (*body)(void); };
static const struct part parts[] = {
    {"burner", burn}, {"rival", burn}, {"sleeper", sleeper}, {"poller", poller}, {"ticker", ticker},
    {"waiter", waiter}, {"feeder", feeder}, {"reader", reader}, {"backend", backend}, {"client", client},
};

static void *run(void *argument)
{
    const struct part *part = argument;
    pthread_setname_np(pthread_self(), part->name);
    int64_t began = clock_ns(CLOCK_MONOTONIC);
    part->body();
    int64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC) - began;
    printf("%s %ld %lld %lld\n", part->name, syscall(SYS_gettid), (long long)cpu, (long long)wall);
    return NULL;
}

int main(int argc, char **argv)
{
    enum { PARTS = sizeof parts / sizeof *parts };
    pthread_t threads[PARTS];
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof any;
    if (!open_gate(argc, argv) || pipe(pipe_ends)) return 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&any, size) || listen(listener, 8)) return 1;
    getsockname(listener, (struct sockaddr *)&any, &size);
    backend_port = any.sin_port;
    printf("port %d 0 0\n", ntohs(backend_port));
    deadline = clock_ns(CLOCK_MONOTONIC) + atol(argv[2]) * 1000000;
    for (int i = 0; i < PARTS; i++) pthread_create(&threads[i], NULL, run, (void *)&parts[i]);
    for (int i = 0; i < PARTS; i++) pthread_join(threads[i], NULL);
    return 0;
}
