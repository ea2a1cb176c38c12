// Calls that may wait, each class a prime number of times. Every descriptor waited for without a timeout is ready.
#define _GNU_SOURCE
#include "gate.h"
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>

#define TIMES(n) for (int i_ = 0; i_ < (n); i_++)

static struct timespec us(long microseconds)
{
    return (struct timespec){.tv_nsec = microseconds * 1000};
}

static void epolls(int ready)
{
    struct epoll_event event = {.events = EPOLLIN}, got;
    struct timespec t100 = us(100), zero = us(0);
    int quiet = epoll_create1(0), lively = epoll_create1(0);
    epoll_ctl(lively, EPOLL_CTL_ADD, ready, &event);
    TIMES(17) syscall(SYS_epoll_wait, quiet, &got, 1, 0);
    TIMES(5) syscall(SYS_epoll_wait, lively, &got, 1, -1);
    TIMES(19) syscall(SYS_epoll_pwait2, quiet, &got, 1, &t100, NULL, 0);
    TIMES(3) syscall(SYS_epoll_pwait2, lively, &got, 1, NULL, NULL, 0);
    TIMES(2) syscall(SYS_epoll_pwait2, quiet, &got, 1, &zero, NULL, 0);
    TIMES(1) syscall(SYS_epoll_pwait2, quiet, &got, 1, (void *)8, NULL, 0);
    TIMES(7) syscall(SYS_epoll_pwait, quiet, &got, 1, 2, NULL, 0);
}

static void polls(int ready)
{
    struct pollfd lively = {.fd = ready, .events = POLLIN};
    struct timespec t300 = us(300);
    TIMES(11) syscall(SYS_poll, NULL, 0, 1);
    TIMES(13) syscall(SYS_poll, &lively, 1, -1);
    TIMES(23) syscall(SYS_ppoll, &lively, 1, NULL, NULL, 0);
    TIMES(3) {
        struct timespec t = t300;
        syscall(SYS_ppoll, NULL, 0, &t, NULL, 0);
    }
}

static void selects(int ready)
{
    fd_set set;
    TIMES(29) {
        struct timeval zero = {0};
        syscall(SYS_select, 0, NULL, NULL, NULL, &zero);
    }
    TIMES(5) {
        struct timeval t = {.tv_usec = 700};
        syscall(SYS_select, 0, NULL, NULL, NULL, &t);
    }
    TIMES(31) {
        struct timespec t = us(50);
        syscall(SYS_pselect6, 0, NULL, NULL, NULL, &t, NULL);
    }
    TIMES(2) {
        FD_ZERO(&set);
        FD_SET(ready, &set);
        syscall(SYS_pselect6, ready + 1, &set, NULL, NULL, NULL, NULL);
    }
}

static void rings(void)
{
    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) return;
    puts("io_uring");
    char *sq = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                    IORING_OFF_SQ_RING);
    struct io_uring_sqe *entries = mmap(NULL, p.sq_entries * sizeof *entries, PROT_READ | PROT_WRITE, MAP_SHARED,
                                        ring, IORING_OFF_SQES);
    TIMES(37) syscall(SYS_io_uring_enter, ring, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
    TIMES(7) {
        struct __kernel_timespec t = {.tv_nsec = 400000};
        struct io_uring_getevents_arg arg = {.ts = (uintptr_t)&t};
        syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    }
    // One completion that nobody takes from the ring: whoever waits for it returns at once.
    entries[0] = (struct io_uring_sqe){.opcode = IORING_OP_NOP};
    ((uint32_t *)(sq + p.sq_off.array))[0] = 0;
    __atomic_store_n((uint32_t *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0);
    TIMES(3) syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
}

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv)) return 1;
    int ready = eventfd(1, 0);
    epolls(ready);
    polls(ready);
    selects(ready);
    rings();
    return 0;
}
