// The io_uring backend: multishot accept; a connection has one receive or one send in flight, never both.
#include "busy_poll.h"
#include "fail.h"
#include "http.h"
#include "reactor.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#define SUBMISSIONS 1024
#define COMPLETIONS 8192
#define BUFFER 4096

struct loop {
    struct reactor *reactor;
    struct io_uring ring;
    char (*buffers)[BUFFER];  // by connection: the kernel writes into them between iterations
    eventfd_t control;
};

// Instead of a connection in the user data of a request.
static struct connection accept_tag, control_tag, ignored_tag;

static struct io_uring_sqe *next_entry(struct loop *loop)
{
    struct io_uring_sqe *entry;
    while (!(entry = io_uring_get_sqe(&loop->ring))) {
        int result = io_uring_submit(&loop->ring);
        if (result < 0 && result != -EINTR && result != -EBUSY)
            fail_with("io_uring_enter", -result);
    }
    return entry;
}

// The prep functions clear the whole entry, so the user data are set last.
static void start_accept(struct loop *loop)
{
    struct io_uring_sqe *entry = next_entry(loop);
    io_uring_prep_multishot_accept(entry, loop->reactor->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data(entry, &accept_tag);
}

static void start_control(struct loop *loop)
{
    struct io_uring_sqe *entry = next_entry(loop);
    io_uring_prep_read(entry, loop->reactor->control, &loop->control, sizeof loop->control, 0);
    io_uring_sqe_set_data(entry, &control_tag);
}

static void start_receive(struct loop *loop, struct connection *connection)
{
    struct io_uring_sqe *entry = next_entry(loop);
    char *buffer = loop->buffers[connection - loop->reactor->connections.all];
    if (loop->reactor->options->receive_with_read)
        io_uring_prep_read(entry, connection->fd, buffer, BUFFER, 0);
    else
        io_uring_prep_recv(entry, connection->fd, buffer, BUFFER, 0);
    io_uring_sqe_set_data(entry, connection);
}

static void start_send(struct loop *loop, struct connection *connection)
{
    struct io_uring_sqe *entry = next_entry(loop);
    size_t length;
    const char *replies = http_replies(connection->offset, connection->owed, &length);
    io_uring_prep_send(entry, connection->fd, replies, length, MSG_NOSIGNAL);
    io_uring_sqe_set_data(entry, connection);
    if (!loop->reactor->options->flush_batched)
        io_uring_submit(&loop->ring);
}

static void accepted(struct loop *loop, const struct io_uring_cqe *completion)
{
    if (completion->res >= 0) {
        struct connection *connection = reactor_accepted(loop->reactor, completion->res);
        if (connection)
            start_receive(loop, connection);
    }
    if (!(completion->flags & IORING_CQE_F_MORE) && loop->reactor->listener >= 0)
        start_accept(loop);
}

static void received(struct loop *loop, struct connection *connection, int length)
{
    const char *buffer = loop->buffers[connection - loop->reactor->connections.all];
    unsigned requests = http_requests(&connection->matched, buffer, length);
    if (requests == 0) {
        start_receive(loop, connection);
        return;
    }
    reactor_work(loop->reactor, requests);
    connection->owed = requests * REPLY_LENGTH;
    start_send(loop, connection);
}

static void sent(struct loop *loop, struct connection *connection, int length)
{
    connection->owed -= length;
    connection->offset = (connection->offset + length) % REPLY_LENGTH;
    if (connection->owed)
        start_send(loop, connection);
    else
        start_receive(loop, connection);
}

static void handle(struct loop *loop, const struct io_uring_cqe *completion)
{
    struct connection *tag = io_uring_cqe_get_data(completion);
    if (tag == &accept_tag)
        accepted(loop, completion);
    else if (tag == &control_tag)
        start_control(loop);
    else if (tag == &ignored_tag)
        return;
    else if (completion->res <= 0)
        connections_drop(&loop->reactor->connections, tag);
    else if (tag->owed)
        sent(loop, tag, completion->res);
    else
        received(loop, tag, completion->res);
}

static int submit_and_wait(struct loop *loop)
{
    long us = loop->reactor->options->wait_us;
    struct __kernel_timespec timeout = {us / 1000000, us % 1000000 * 1000};
    struct io_uring_cqe *completion;
    if (us == WAIT_FOREVER)
        return io_uring_submit_and_wait(&loop->ring, 1);
    if (us == 0)
        return io_uring_submit_and_get_events(&loop->ring);
    return io_uring_submit_and_wait_timeout(&loop->ring, &completion, 1, &timeout, NULL);
}

static void iterate(struct loop *loop)
{
    struct io_uring_cqe *completion;
    int result = submit_and_wait(loop);
    if (result < 0 && result != -EINTR && result != -ETIME && result != -EBUSY)
        fail_with("io_uring_enter", -result);
    // Completions that an interruption leaves unprocessed stay in the ring.
    while (!reactor_interrupted(loop->reactor) && io_uring_peek_cqe(&loop->ring, &completion) == 0) {
        handle(loop, completion);
        io_uring_cqe_seen(&loop->ring, completion);
    }
    reactor_resume(loop->reactor);
}

static void close_listener(struct loop *loop)
{
    struct reactor *reactor = loop->reactor;
    int listener = reactor->listener;
    if (listener >= 0 && reactor->group->listeners[reactor->options->close_listener] == listener) {
        // The pending accept holds a reference to the socket, which would stay in its group.
        struct io_uring_sqe *entry = next_entry(loop);
        io_uring_prep_cancel(entry, &accept_tag, 0);
        io_uring_sqe_set_data(entry, &ignored_tag);
        io_uring_submit(&loop->ring);
    }
    reactor_close_listener(reactor);
}

static void open_ring(struct loop *loop)
{
    struct io_uring_params newest = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = COMPLETIONS,
    };
    struct io_uring_params oldest = {.flags = IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS};
    int error = io_uring_queue_init_params(SUBMISSIONS, &loop->ring, &newest);
    if (error == -EINVAL)  // before Linux 6.1
        error = io_uring_queue_init_params(SUBMISSIONS, &loop->ring, &oldest);
    if (error)
        fail_with("io_uring_setup", -error);
}

void uring_serve(struct reactor *reactor)
{
    struct loop loop = {.reactor = reactor};
    loop.buffers = calloc(reactor->connections.capacity, sizeof *loop.buffers);
    if (!loop.buffers)
        fail("calloc");
    open_ring(&loop);
    if (reactor->options->busy_poll_us)
        busy_poll_uring(reactor->options, loop.ring.ring_fd);
    start_accept(&loop);
    start_control(&loop);
    reactor_ready(reactor);
    while (!reactor_asked(reactor, ASK_STOP)) {
        if (reactor_asked(reactor, ASK_CLOSE_LISTENER))
            close_listener(&loop);
        iterate(&loop);
    }
    io_uring_queue_exit(&loop.ring);
    free(loop.buffers);
}
