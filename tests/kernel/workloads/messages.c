// messages now|gate N: a thread sends N messages of one byte over a TCP connection on the loopback, another reads
// each with one call: a byte never lies in two packets. Prints the nanoseconds from the first to the last.
#define _GNU_SOURCE
#include "gate.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

static int sender, reader;
static long messages;

static void connect_pair(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1)) exit(2);
    getsockname(listener, (struct sockaddr *)&address, &length);
    sender = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(sender, (struct sockaddr *)&address, length)) exit(2);
    reader = accept(listener, NULL, NULL);
}

static void *send_all(void *unused)
{
    char message = 0;
    pthread_setname_np(pthread_self(), "sender");
    for (long i = 0; i < messages; i++)
        if (send(sender, &message, 1, 0) != 1) exit(2);
    return unused;
}

static long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

int main(int argc, char **argv)
{
    char message;
    pthread_t other;
    connect_pair();
    if (!open_gate(argc, argv)) return 1;
    messages = atol(argv[2]);
    pthread_setname_np(pthread_self(), "reader");
    long begin = now();
    pthread_create(&other, NULL, send_all, NULL);
    for (long i = 0; i < messages; i++)
        if (recv(reader, &message, 1, 0) != 1) return 2;
    printf("%ld\n", now() - begin);
    pthread_join(other, NULL);
    return 0;
}
