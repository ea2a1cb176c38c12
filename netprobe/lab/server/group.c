#include "group.h"

#include "fail.h"
#include "steer.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 4096

static void set(int fd, int level, int name, int value, const char *call)
{
    if (setsockopt(fd, level, name, &value, sizeof value))
        fail(call);
}

static void resolve(struct group *group)
{
    const struct options *o = group->options;
    struct addrinfo hints = {
        .ai_socktype = o->udp ? SOCK_DGRAM : SOCK_STREAM,
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
    };
    struct addrinfo *found;
    char port[8];
    snprintf(port, sizeof port, "%u", o->port);
    if (getaddrinfo(o->address, port, &hints, &found))
        fail_usage("--address takes an IPv4 or IPv6 address, not '%s'", o->address);
    memcpy(&group->address, found->ai_addr, found->ai_addrlen);
    group->address_length = found->ai_addrlen;
    freeaddrinfo(found);
}

void group_open(struct group *group, const struct options *options)
{
    *group = (struct group){.options = options};
    pthread_mutex_init(&group->lock, NULL);
    pthread_cond_init(&group->joined, NULL);
    group->listeners = calloc(options->reactors + options->extra_listeners, sizeof(int));
    if (!group->listeners)
        fail("calloc");
    resolve(group);
}

void group_close(struct group *group)
{
    for (int i = 0; i < group->size; i++)
        group_close_listener(group, i);
    free(group->listeners);
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->joined);
}

void group_say_ready(const struct group *group)
{
    // sin_port and sin6_port have the same offset.
    int port = ntohs(((const struct sockaddr_in *)&group->address)->sin_port);
    printf("ready port=%d pid=%d\n", port, getpid());
    fflush(stdout);
}

static void prepare(const struct group *group, int fd)
{
    set(fd, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT");
    if (group->address.ss_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0, "setsockopt IPV6_V6ONLY");
    if (group->options->udp)
        return;
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR");
    // Accepted connections inherit it, which saves a system call per connection.
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1, "setsockopt TCP_NODELAY");
}

static int new_listener(struct group *group, int cpu)
{
    int type = group->options->udp ? SOCK_DGRAM : SOCK_STREAM;
    int fd = socket(group->address.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    prepare(group, fd);
    if (cpu != NO_CPU)
        steer_listener(group->options->steer, fd, cpu);
    if (bind(fd, (struct sockaddr *)&group->address, group->address_length))
        fail("bind");
    // The kernel may have chosen the port of the first member; the other members must use the same port.
    if (getsockname(fd, (struct sockaddr *)&group->address, &group->address_length))
        fail("getsockname");
    if (!group->options->udp && listen(fd, BACKLOG))
        fail("listen");
    return fd;
}

static void add(struct group *group, int listener)
{
    group->listeners[group->size++] = listener;
}

static int join_now(struct group *group, int reactor)
{
    const struct options *o = group->options;
    int cpu = o->cpus[reactor] == NO_CPU ? reactor : o->cpus[reactor];
    int listener = new_listener(group, cpu);
    add(group, listener);
    if (o->verbose)
        fprintf(stderr, "reactor-%d index=%d cpu=%d\n", reactor, group->size - 1, o->cpus[reactor]);
    if (group->size == o->reactors)
        steer_group(o->steer, listener);
    return listener;
}

int group_index(const struct group *group, int reactor)
{
    int index = 0;
    while (group->options->listen_order[index] != reactor)
        index++;
    return index;
}

int group_join(struct group *group, int reactor)
{
    pthread_mutex_lock(&group->lock);
    while (group->options->listen_order[group->size] != reactor)
        pthread_cond_wait(&group->joined, &group->lock);
    int listener = join_now(group, reactor);
    pthread_cond_broadcast(&group->joined);
    pthread_mutex_unlock(&group->lock);
    return listener;
}

void group_add_extra(struct group *group)
{
    for (int i = 0; i < group->options->extra_listeners; i++)
        add(group, new_listener(group, NO_CPU));
}

void group_close_listener(struct group *group, int index)
{
    if (group->listeners[index] >= 0)
        close(group->listeners[index]);
    group->listeners[index] = -1;
}
