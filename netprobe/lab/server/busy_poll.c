#include "busy_poll.h"

#include "fail.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PREFER_BUSY_POLL  // Linux 5.11
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

// struct epoll_params of Linux 6.9, which the headers of Debian 12 lack.
struct epoll_busy_poll {
    uint32_t us;
    uint16_t budget;
    uint8_t prefer;
    uint8_t pad;
};
#define EPOLL_SET_BUSY_POLL _IOW(0x8A, 0x01, struct epoll_busy_poll)

// struct io_uring_napi of Linux 6.9.
struct uring_busy_poll {
    uint32_t us;
    uint8_t prefer;
    uint8_t pad[3];
    uint64_t reserved;
};
#define URING_REGISTER_NAPI 27

static void set(int fd, int name, int value, const char *call)
{
    if (setsockopt(fd, SOL_SOCKET, name, &value, sizeof value))
        fail(call);
}

// Accepted sockets inherit all three.
static void set_on_listener(const struct options *o, int listener)
{
    set(listener, SO_BUSY_POLL, o->busy_poll_us, "setsockopt SO_BUSY_POLL");
    if (o->prefer_busy_poll)
        set(listener, SO_PREFER_BUSY_POLL, 1, "setsockopt SO_PREFER_BUSY_POLL");
    if (o->busy_poll_budget)
        set(listener, SO_BUSY_POLL_BUDGET, o->busy_poll_budget, "setsockopt SO_BUSY_POLL_BUDGET");
}

void busy_poll_epoll(const struct options *o, int epoll, int listener)
{
    struct epoll_busy_poll wanted = {
        .us = o->busy_poll_us, .budget = o->busy_poll_budget, .prefer = o->prefer_busy_poll,
    };
    if (ioctl(epoll, EPOLL_SET_BUSY_POLL, &wanted) == 0)
        return;
    if (errno != ENOTTY)
        fail("ioctl EPIOCSPARAMS");
    warn_errno("ioctl EPIOCSPARAMS, so busy polling is set on the sockets", errno);
    set_on_listener(o, listener);
}

void busy_poll_uring(const struct options *o, int ring)
{
    struct uring_busy_poll wanted = {.us = o->busy_poll_us, .prefer = o->prefer_busy_poll};
    if (syscall(SYS_io_uring_register, ring, URING_REGISTER_NAPI, &wanted, 1))
        warn_errno("io_uring_register IORING_REGISTER_NAPI, so the ring does not busy poll", errno);
}
