// The epoll backend: level-triggered, one receive per event.
#include "busy_poll.h"
#include "calls.h"
#include "fail.h"
#include "http.h"
#include "reactor.h"
#include "udp.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH 256
#define BUFFER 16384
// Not inlined, so that the function is a separate frame in a profile.
#define APART __attribute__((noinline))

struct loop {
    struct reactor *reactor;
    int epoll;
    struct udp *udp;                      // NULL: TCP
    struct connection *queued[BATCH];     // --flush batched; a connection has at most one event per batch
    int queued_count;
    char buffer[BUFFER];
};

// Registered instead of a connection.
static struct connection listener_tag, control_tag;

static void watch(struct loop *loop, int operation, int fd, uint32_t events, struct connection *tag)
{
    struct epoll_event event = {.events = events, .data.ptr = tag};
    if (epoll_ctl(loop->epoll, operation, fd, &event))
        fail("epoll_ctl");
}

static void accept_one(struct loop *loop)
{
    int fd = accept4(loop->reactor->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct connection *connection = reactor_accepted(loop->reactor, fd);
    if (connection)
        watch(loop, EPOLL_CTL_ADD, fd, EPOLLIN, connection);
}

static void set_blocked(struct loop *loop, struct connection *connection, bool blocked)
{
    if (connection->blocked == blocked)
        return;
    connection->blocked = blocked;
    watch(loop, EPOLL_CTL_MOD, connection->fd, blocked ? EPOLLOUT : EPOLLIN, connection);
}

static APART void send_owed(struct loop *loop, struct connection *connection)
{
    while (connection->owed) {
        size_t length;
        const char *replies = http_replies(connection->offset, connection->owed, &length);
        ssize_t sent = direct_call(SYS_sendto, connection->fd, (long)replies, length, MSG_NOSIGNAL, 0, 0);
        if (sent < 0 && errno == EAGAIN) {
            set_blocked(loop, connection, true);
            return;
        }
        if (sent < 0) {
            connections_drop(&loop->reactor->connections, connection);
            return;
        }
        connection->owed -= sent;
        connection->offset = (connection->offset + sent) % REPLY_LENGTH;
    }
    set_blocked(loop, connection, false);
}

static ssize_t receive(struct loop *loop, int fd)
{
    if (loop->reactor->options->receive_with_read)
        return direct_call(SYS_read, fd, (long)loop->buffer, BUFFER, 0, 0, 0);
    return direct_call(SYS_recvfrom, fd, (long)loop->buffer, BUFFER, 0, 0, 0);
}

static APART void serve(struct loop *loop, struct connection *connection)
{
    ssize_t length = receive(loop, connection->fd);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0) {
        connections_drop(&loop->reactor->connections, connection);
        return;
    }
    unsigned requests = http_requests(&connection->matched, loop->buffer, length);
    if (requests == 0)
        return;
    reactor_work(loop->reactor, requests);
    connection->owed += requests * REPLY_LENGTH;
    if (loop->reactor->options->flush_batched)
        loop->queued[loop->queued_count++] = connection;
    else
        send_owed(loop, connection);
}

static APART void flush(struct loop *loop)
{
    for (int i = 0; i < loop->queued_count; i++)
        send_owed(loop, loop->queued[i]);
    loop->queued_count = 0;
    if (loop->udp)
        udp_flush(loop->udp, loop->reactor);
}

static void handle(struct loop *loop, struct connection *tag)
{
    eventfd_t ignored;
    if (tag == &control_tag)
        eventfd_read(loop->reactor->control, &ignored);
    else if (tag == &listener_tag && loop->udp)
        udp_serve(loop->udp, loop->reactor);
    else if (tag == &listener_tag)
        accept_one(loop);
    else if (tag->blocked)
        send_owed(loop, tag);
    else
        serve(loop, tag);
}

static int wait_events(struct loop *loop, struct epoll_event *events)
{
    long us = loop->reactor->options->wait_us;
    if (us <= 0)
        return direct_call(SYS_epoll_pwait, loop->epoll, (long)events, BATCH, us, 0, 0);
    struct timespec timeout = {us / 1000000, us % 1000000 * 1000};
    return direct_call(SYS_epoll_pwait2, loop->epoll, (long)events, BATCH, (long)&timeout, 0, 0);
}

static void close_listener(struct loop *loop)
{
    struct reactor *reactor = loop->reactor;
    int listener = reactor->listener;
    // Other workers may have the same socket open, so close() alone would leave it in the epoll set.
    if (listener >= 0 && reactor->group->listeners[reactor->options->close_listener] == listener)
        watch(loop, EPOLL_CTL_DEL, listener, 0, NULL);
    reactor_close_listener(reactor);
}

static void iterate(struct loop *loop)
{
    struct epoll_event events[BATCH];
    int count = wait_events(loop, events);
    if (count < 0 && errno != EINTR)
        fail(loop->reactor->options->wait_us > 0 ? "epoll_pwait2" : "epoll_pwait");
    // Level triggering reports the events again that an interruption leaves unprocessed.
    for (int i = 0; i < count && !reactor_interrupted(loop->reactor); i++)
        handle(loop, events[i].data.ptr);
    reactor_resume(loop->reactor);
    flush(loop);
}

void epoll_serve(struct reactor *reactor)
{
    struct loop loop = {.reactor = reactor, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (loop.epoll < 0)
        fail("epoll_create1");
    if (reactor->options->udp)
        loop.udp = udp_open();
    if (reactor->options->busy_poll_us)
        busy_poll_epoll(reactor->options, loop.epoll, reactor->listener);
    watch(&loop, EPOLL_CTL_ADD, reactor->listener, EPOLLIN, &listener_tag);
    watch(&loop, EPOLL_CTL_ADD, reactor->control, EPOLLIN, &control_tag);
    reactor_ready(reactor);
    while (!reactor_asked(reactor, ASK_STOP)) {
        if (reactor_asked(reactor, ASK_CLOSE_LISTENER))
            close_listener(&loop);
        iterate(&loop);
    }
    udp_close(loop.udp);
    close(loop.epoll);
}
