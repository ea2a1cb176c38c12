/* A small HTTP server with one configurable fault: faulty FAULT [ARGUMENT]. Prints its port, ends with standard input.
 *
 * The main thread accepts and gives connections to WORKERS event loops in turn. Faults: none; backend PORT (a blocking
 * request to 127.0.0.1:PORT), fsync (a write and fsync per request), lock (one mutex held for 200 us per request), hot
 * (all connections to one worker), sleep (2 ms per request), nagle (small writes), backlog (a listener with a backlog of 1, slow accepts).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 4
static const char *fault;
static int argument, loops[WORKERS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";

static int is(const char *name) { return !strcmp(fault, name); }

static void burn(long us)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < us);
}

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) perror("connect"), exit(1);
    return fd;
}

static void handle(int backend, int file)
{
    char byte = 'x';
    if (is("backend") && (send(backend, &byte, 1, 0) != 1 || recv(backend, &byte, 1, 0) != 1)) exit(1);
    if (is("fsync") && (pwrite(file, &byte, 1, 0) != 1 || fsync(file))) exit(1);
    if (is("sleep")) usleep(2000);
    if (is("lock")) {
        pthread_mutex_lock(&lock);
        burn(200);
        pthread_mutex_unlock(&lock);
    }
    if (is("hot")) burn(50);
}

static void *work(void *number)
{
    int loop = loops[(long)number], backend = is("backend") ? connect_to(argument) : -1, file = -1;
    char name[] = "faulty-XXXXXX", buffer[4096];
    struct epoll_event events[64];
    pthread_setname_np(pthread_self(), "worker");
    if (is("fsync") && (file = mkstemp(name)) >= 0) unlink(name);
    for (;;) {
        int ready = epoll_wait(loop, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (recv(fd, buffer, sizeof buffer, 0) <= 0) {
                close(fd);
                continue;
            }
            handle(backend, file);
            // Three small writes: Nagle's algorithm holds back what follows the first until that is acknowledged.
            size_t first = is("nagle") ? 10 : sizeof answer - 1, rest = sizeof answer - 1 - first;
            send(fd, answer, first, MSG_NOSIGNAL);
            if (rest) send(fd, answer + first, 10, MSG_NOSIGNAL), send(fd, answer + first + 10, rest - 10, MSG_NOSIGNAL);
        }
    }
    return NULL;
}

static void *until_closed(void *unused)
{
    char byte;
    while (read(0, &byte, 1) > 0);
    exit(0);
    return unused;
}

int main(int count, char **arguments)
{
    fault = count > 1 ? arguments[1] : "none";
    argument = count > 2 ? atoi(arguments[2]) : 0;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), turn = 0;
    pthread_t thread;
    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, is("backlog") ? 1 : 512)) return 1;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_create(&thread, NULL, until_closed, NULL);
    for (long i = 0; i < WORKERS; i++) {
        loops[i] = epoll_create1(0);
        pthread_create(&thread, NULL, work, (void *)i);
    }
    for (;;) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = accept(listener, NULL, NULL)};
        if (is("backlog")) usleep(50000);
        if (event.data.fd >= 0) epoll_ctl(loops[is("hot") ? 0 : turn++ % WORKERS], EPOLL_CTL_ADD, event.data.fd, &event);
    }
}
