// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// System calls by thread and number; calls that can wait also by timeout; optionally failures and latency.

// Numbers of the native table; all others (32-bit, x32, invalid) are counted in other_calls.
#define SYSCALLS 512
// struct thread_info.status: the call came through a 32-bit entry (arch/x86/include/asm/thread_info.h).
#define TS_COMPAT 2

struct calls { u64 by_number[SYSCALLS]; };
BPF_F_TABLE("array", u32, struct calls, syscall_calls, SLOTS, MMAPABLE);

struct other_call { u32 slot; u32 number; u32 compat; };
BPF_TABLE("hash", struct other_call, u64, other_calls, 4096);

// ---- Timeouts of calls that can wait. ----

enum { EPOLL_WAIT, EPOLL_PWAIT, EPOLL_PWAIT2, POLL, PPOLL, SELECT, PSELECT6, IO_URING_ENTER, WAITS };
enum timeout_class { ZERO, INFINITE, UNREADABLE, POSITIVE };
#define LOG2_BUCKETS 24

struct wait {
    u64 by_class[3];
    // Positive timeouts by log2 of their microseconds. The sum makes the median exact where all are equal.
    struct { u64 calls, sum_ns; } positive[LOG2_BUCKETS];
};
struct waits { struct wait by_call[WAITS]; };
BPF_F_TABLE("array", u32, struct waits, syscall_waits, SLOTS, MMAPABLE);

static __always_inline int wait_of(u32 number)
{
    switch (number) {
    case NR_EPOLL_WAIT: return EPOLL_WAIT;
    case NR_EPOLL_PWAIT: return EPOLL_PWAIT;
    case NR_EPOLL_PWAIT2: return EPOLL_PWAIT2;
    case NR_POLL: return POLL;
    case NR_PPOLL: return PPOLL;
    case NR_SELECT: return SELECT;
    case NR_PSELECT6: return PSELECT6;
    case NR_IO_URING_ENTER: return IO_URING_ENTER;
    }
    return -1;
}

// io_uring_enter(2) waits only with IORING_ENTER_GETEVENTS and min_complete > 0. The timeout is in struct
// io_uring_getevents_arg, or in a registered region that a BPF program cannot read.
// Returns the class, or POSITIVE with the address of a struct timespec.
static __always_inline enum timeout_class io_uring_timeout(void *regs, u64 *address)
{
    u64 flags = syscall_argument(regs, SYSCALL_ARG_3);
    if (!(flags & 1) || !(u32)syscall_argument(regs, SYSCALL_ARG_2)) return ZERO;
    if (flags & (1 << 6)) return UNREADABLE;
    if (!(flags & (1 << 3))) return INFINITE;
    void *arg = (void *)syscall_argument(regs, SYSCALL_ARG_4) + 16;
    return read_user(address, sizeof *address, arg) ? UNREADABLE : POSITIVE;
}

// A struct timespec (unit = 1) or struct timeval (unit = 1000) in user memory.
static __always_inline enum timeout_class user_timeout(u64 address, u64 unit, u64 *timeout_ns)
{
    s64 time[2] = {};
    if (!address) return INFINITE;
    if (read_user(time, sizeof time, (void *)address)) return UNREADABLE;
    // Sums must not overflow: timeouts count as an hour at most.
    if (time[0] > 3600) time[0] = 3600;
    *timeout_ns = time[0] * 1000000000ULL + time[1] * unit;
    return *timeout_ns ? POSITIVE : ZERO;
}

// Every read occurs once in the source: code that is inlined eight times takes a fifth of a second to compile.
static __always_inline enum timeout_class read_timeout(int wait, void *regs, u64 *timeout_ns)
{
    u64 value = 0;
    if (wait == IO_URING_ENTER) {
        enum timeout_class class = io_uring_timeout(regs, &value);
        if (class != POSITIVE) return class;
    } else {
        u64 offset = SYSCALL_ARG_3;
        if (wait == POLL || wait == PPOLL) offset = SYSCALL_ARG_2;
        if (wait == SELECT || wait == PSELECT6) offset = SYSCALL_ARG_4;
        value = syscall_argument(regs, offset);
    }
    if (wait == EPOLL_WAIT || wait == EPOLL_PWAIT || wait == POLL) {
        if ((s32)value < 0) return INFINITE;
        *timeout_ns = (u64)(u32)value * 1000000;
        return *timeout_ns ? POSITIVE : ZERO;
    }
    return user_timeout(value, wait == SELECT ? 1000 : 1, timeout_ns);
}

static __always_inline void count_wait(u32 slot, int wait, void *regs)
{
    u64 timeout_ns = 0;
    enum timeout_class class = read_timeout(wait, regs, &timeout_ns);
    struct waits *all = syscall_waits.lookup(&slot);
    if (!all) return;
    struct wait *w = &all->by_call[BOUNDED(wait, WAITS)];
    if (class != POSITIVE) {
        add(slot, &w->by_class[BOUNDED(class, POSITIVE)], 1);
        return;
    }
    u64 us = timeout_ns / 1000;
    u64 bucket = BOUNDED(us ? bpf_log2l(us) : 0, LOG2_BUCKETS);
    add(slot, &w->positive[bucket].calls, 1);
    add(slot, &w->positive[bucket].sum_ns, timeout_ns);
}

// ---- Operations of epoll_ctl(2). ----

// 0: invalid; EPOLL_CTL_ADD, _DEL and _MOD are 1 to 3.
#define EPOLL_OPERATIONS 4
struct epoll_changes { u64 by_operation[EPOLL_OPERATIONS]; };
BPF_F_TABLE("array", u32, struct epoll_changes, epoll_changes, SLOTS, MMAPABLE);

static __always_inline void count_epoll_change(u32 slot, void *regs)
{
    struct epoll_changes *changes = epoll_changes.lookup(&slot);
    u64 operation = (u32)syscall_argument(regs, SYSCALL_ARG_1);
    if (operation >= EPOLL_OPERATIONS) operation = 0;
    if (changes) add(slot, &changes->by_operation[BOUNDED(operation, EPOLL_OPERATIONS)], 1);
}

// ---- Failures and latency: the system call that a thread is in, so that its exit needs no hash lookup. ----

#ifdef ON_SYS_EXIT
struct in_flight { u64 since_ns; u32 number; u16 compat, under_way; };
BPF_F_TABLE("array", u32, struct in_flight, syscalls_in_flight, SLOTS, MMAPABLE);

struct failed_call { u32 slot; u32 number; u32 compat; u32 error; };
BPF_TABLE("hash", struct failed_call, u64, failed_calls, 8192);

struct timed_call { u32 slot; u32 number; u32 compat; };
struct latency { u64 total_ns; u64 buckets[LOG_LINEAR_BUCKETS]; };
#ifdef LATENCY
BPF_TABLE("hash", struct timed_call, struct latency, syscall_latency, TIMED_CALLS);
// Too large for the stack; never written, so it stays zero.
BPF_ARRAY(no_latency, struct latency, 1);
#endif

static __always_inline void record_entry(u32 slot, u32 number, u32 compat)
{
    struct in_flight *f = syscalls_in_flight.lookup(&slot);
    if (!f || slot == OVERFLOW_SLOT) return;
    f->number = number;
    f->compat = compat != 0;
    f->under_way = 1;
#ifdef LATENCY
    f->since_ns = bpf_ktime_get_ns();
#endif
}

#ifdef LATENCY
static __always_inline void count_latency(u32 slot, struct in_flight *f, u64 ns)
{
    struct timed_call key = {.slot = slot, .number = f->number, .compat = f->compat};
    struct latency *l = syscall_latency.lookup(&key);
    if (!l) {
        u32 zero = 0;
        struct latency *empty = no_latency.lookup(&zero);
        if (!empty) return;
        syscall_latency.update(&key, empty);
        l = syscall_latency.lookup(&key);
    }
    if (!l) {
        count_dropped(DROPPED_LATENCY);
        return;
    }
    u64 bucket = log_linear_bucket(ns);
    l->total_ns += ns;
    l->buckets[bucket] += 1;
}
#endif

static __always_inline int count_failure(u32 slot, u32 number, u32 compat, s64 result)
{
    if (result >= 0 || result < -4095) return 0;
    struct failed_call key = {.slot = slot, .number = number, .compat = compat, .error = -result};
    u64 zero = 0, *count = failed_calls.lookup_or_try_init(&key, &zero);
    if (count)
        __sync_fetch_and_add(count, 1);
    else
        count_dropped(DROPPED_FAILURE);
    return 0;
}

// Threads in the overflow slot: the number of the call is still in the registers, but not the time of its entry.
static __always_inline int on_overflow_exit(struct bpf_raw_tracepoint_args *ctx)
{
#ifdef LATENCY
    count_dropped(DROPPED_LATENCY);
#endif
    void *task = (void *)bpf_get_current_task_btf();
    u32 compat = (*(u32 *)(task + TASK_THREAD_INFO_STATUS) & TS_COMPAT) != 0;
    return count_failure(OVERFLOW_SLOT, syscall_argument((void *)ctx->args[0], SYSCALL_NUMBER), compat, ctx->args[1]);
}

int on_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    if (!slot) return 0;
    if (slot == OVERFLOW_SLOT) return on_overflow_exit(ctx);
    struct in_flight *f = syscalls_in_flight.lookup(&slot);
    // A call that began before tracing has no number.
    if (!f || !f->under_way) return 0;
    f->under_way = 0;
#ifdef LATENCY
    count_latency(slot, f, bpf_ktime_get_ns() - f->since_ns);
#endif
    return count_failure(slot, f->number, f->compat, ctx->args[1]);
}
#endif

static __always_inline int count_other(u32 slot, u32 number, u32 compat)
{
    struct other_call key = {.slot = slot, .number = number, .compat = compat};
    u64 zero = 0, *count = other_calls.lookup_or_try_init(&key, &zero);
    if (count)
        __sync_fetch_and_add(count, 1);
    else
        count_dropped(DROPPED_OTHER_CALL);
    return 0;
}

int on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
    if (!window()) return 0;
    void *task = (void *)bpf_get_current_task_btf();
    u32 slot = slot_of_current(task);
    if (!slot) return 0;
    u32 number = ctx->args[1];
    u32 compat = *(u32 *)(task + TASK_THREAD_INFO_STATUS) & TS_COMPAT;
#ifdef ONLY_SYSCALLS
    if (compat || !(ONLY_SYSCALLS)) return 0;
#endif
#ifdef ON_SYS_EXIT
    record_entry(slot, number, compat);
#endif
    if (compat || number >= SYSCALLS) return count_other(slot, number, compat);
    struct calls *calls = syscall_calls.lookup(&slot);
    if (calls) add(slot, &calls->by_number[BOUNDED(number, SYSCALLS)], 1);
    int wait = wait_of(number);
    if (wait >= 0) count_wait(slot, wait, (void *)ctx->args[0]);
    if (number == NR_EPOLL_CTL) count_epoll_change(slot, (void *)ctx->args[0]);
    return 0;
}
