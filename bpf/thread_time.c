// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The time of each thread by state: running, runnable but waiting for a CPU, or asleep. Sleeps are counted by system
// call, by socket or file, and by waker.
//
// Running time and run delay are the kernel's own sums (se.sum_exec_runtime, sched_info.run_delay), which the task
// iterator reads at the start and the end of an interval. Sleeping time is measured with the clock of the run queue, on
// which these sums are based: with time stamps taken in the tracepoints, the sum of the states would differ from the
// real time by 3 to 5 % for a busy thread, since the kernel reads the clock of the run queue before the tracepoints
// fire. The reason of a sleep is the system call in the saved registers.

#define NO_CALL (SLEEP_CALLS + 0)     // page fault, or work at the return from an interrupt to user mode
#define STOPPED (SLEEP_CALLS + 1)     // by a signal or a debugger
#define IO_WORKER (SLEEP_CALLS + 2)   // io_uring's workers (io-wq) and its polling thread (SQPOLL)
#define OTHER_CALL (SLEEP_CALLS + 3)
#define REASONS (SLEEP_CALLS + 4)
#define CALL_NUMBERS 512

enum { BY_UNKNOWN, BY_HRTIMER, BY_TIMER, BY_INTERRUPT, BY_THREAD, WAKER_KINDS };
enum { NO_OBJECT, CONNECTED, ACCEPTED, LISTENER, DATAGRAM, UNIX_SOCKET, OTHER_SOCKET, PIPE, REGULAR_FILE, OTHER_FILE, LOCK };

#define PF_IO_WORKER 0x10
#define PF_KTHREAD 0x200000
#define TASK_UNINTERRUPTIBLE 2
#define TASK_STOPPED_OR_TRACED 12
#define STATE_DEAD 0x80
#define S_IFMT 0xf000
#define S_IFIFO 0x1000
#define S_IFREG 0x8000
#define S_IFSOCK 0xc000
#define TCP_LISTEN_STATE 10
#define SOCK_DGRAM 2

struct sleep_object { u32 kind, port; u32 address[4]; };

// The times of one thread. `run_since`, `wait_since`, `sleep_since`: start of the current state, 0 for other states.
struct thread_time {
    u32 sequence;  // odd while the other fields are being updated
    u32 window;    // sampling window to which the state belongs; 0 = the state is not known yet
    u64 gone_ns;
    u64 run_since, wait_since, sleep_since;
    u64 run_base;         // sum_exec_runtime at the last switch-in
    u64 run_ns, wait_ns;  // the kernel's sums when the thread ended
    u64 slept_from;       // start of the sleep by the run queue's clock; 0 = not known, 1 = computed at the switch-out
    u64 sleep_ns;
    u32 reason;           // of the current or the most recent sleep
    u32 uninterruptible;
    u32 waker_kind, unused;
    struct sleep_object object;
};

struct sleep { u64 ns, count, uninterruptible_ns, wakers[WAKER_KINDS]; };
struct sleep_object_key { u32 slot, reason; struct sleep_object object; };
struct sleep_object_value { u64 ns, count; };
struct waker_key { u32 slot, waker_tid; };
struct waker_value { u64 count; u64 user_tid; char comm[16]; };

BPF_F_TABLE("array", u32, struct thread_time, thread_times, SLOTS, MMAPABLE);
BPF_F_TABLE("array", u32, struct sleep, thread_sleeps, SLOTS * REASONS, MMAPABLE);
BPF_F_TABLE("array", u32, u32, reason_of_call, CALL_NUMBERS, MMAPABLE);
BPF_TABLE("hash", struct sleep_object_key, struct sleep_object_value, sleep_objects, SLEEP_OBJECTS);
BPF_TABLE("hash", struct waker_key, struct waker_value, wakers, WAKERS);
// BY_HRTIMER or BY_TIMER while the callback of such a timer runs on this CPU; else 0.
BPF_PERCPU_ARRAY(expiring_timer, u32, 1);

#define BARRIER asm volatile("" ::: "memory")

// bpf_task_pt_regs and bpf_get_current_task_btf by number, as read_user in common.h.
static void *(*registers_of)(void *task) = (void *)175;
static void *(*running_task)(void) = (void *)158;

static __always_inline u64 read_u64(u64 address) { return (u64)read_pointer((void *)address); }

// Whether this code runs in an interrupt. An interrupt of kernel mode runs on the interrupt stack of the CPU. An
// interrupt of user mode runs on the kernel stack of the thread; the saved registers of the thread then have no system
// call number. `address`: any address on the current stack.
static __always_inline bool in_interrupt(u64 address, void *task)
{
    if (!*(u32 *)(task + TASK_PID) || address - *(u64 *)(task + TASK_STACK) >= THREAD_SIZE) return true;
    if (*(u32 *)(task + TASK_FLAGS) & (PF_KTHREAD | PF_IO_WORKER)) return false;
    return read_u64((u64)registers_of(task) + SYSCALL_NUMBER) == ~0ULL;
}

static __always_inline struct thread_time *time_of(u32 slot)
{
    return slot > OVERFLOW_SLOT ? thread_times.lookup(&slot) : NULL;
}

static __always_inline void begin_change(struct thread_time *t, u32 in_window)
{
    t->sequence++;
    BARRIER;
    if (t->window == in_window) return;
    // The state outside of the sampling windows is not known.
    t->window = in_window;
    t->run_since = t->wait_since = t->sleep_since = t->slept_from = 0;
}

static __always_inline void end_change(struct thread_time *t)
{
    BARRIER;
    t->sequence++;
}

static __always_inline void describe_socket(struct sleep_object *object, u64 sk)
{
    struct { u32 remote, local, hash; u16 remote_port, local_port, family; u8 state; } common = {};
    // The head of struct sock_common.
    bpf_probe_read_kernel(&common, sizeof common, (void *)sk);
    if (common.family != 2 && common.family != 10) {
        object->kind = common.family == 1 ? UNIX_SOCKET : OTHER_SOCKET;
        return;
    }
    u16 type = 0;
    bpf_probe_read_kernel(&type, sizeof type, (void *)sk + SK_TYPE);
    object->port = common.local_port;
    if (type == SOCK_DGRAM) {
        object->kind = DATAGRAM;
        return;
    }
    if (common.state == TCP_LISTEN_STATE) {
        object->kind = LISTENER;
        return;
    }
    // If connect() chose the port, its bind bucket has fastreuse -1. Accepted sockets share the listener's bucket.
    u64 bucket = read_u64(sk + SK_BIND_HASH);
    s8 reuse = 0;
    if (bucket) bpf_probe_read_kernel(&reuse, sizeof reuse, (void *)bucket + BUCKET_FASTREUSE);
    if (bucket && reuse >= 0) {
        object->kind = ACCEPTED;
        return;
    }
    object->kind = CONNECTED;
    object->port = __builtin_bswap16(common.remote_port);
    if (common.family == 2)
        object->address[0] = common.remote;
    else
        bpf_probe_read_kernel(object->address, sizeof object->address, (void *)sk + SK_REMOTE_V6);
}

// The file or socket on which a call sleeps: of the descriptor in its first argument, or the only one of a poll().
static __always_inline void find_object(struct sleep_object *object, void *task, u64 registers, u32 reason, bool current)
{
    u32 fd = 0;
    if (reason < SLEEP_CALLS_WITH_FD)
        bpf_probe_read_kernel(&fd, sizeof fd, (void *)registers + SYSCALL_ARG_0);
    else if (current && reason < SLEEP_CALLS_POLL && read_u64(registers + SYSCALL_ARG_1) == 1)
        read_user(&fd, sizeof fd, (void *)read_u64(registers + SYSCALL_ARG_0));  // struct pollfd
    else
        return;
    u64 files = *(u64 *)(task + TASK_FILES);
    if (!files) return;
    u64 table = read_u64(files + FILES_FDT);
    if (fd >= read_u32((void *)table + FDT_MAX_FDS)) return;
    u64 file = read_u64(read_u64(table + FDT_FD) + 8 * (u64)fd);
    if (!file) return;
    u32 mode = read_u32((void *)read_u64(file + FILE_INODE) + INODE_MODE) & S_IFMT;
    if (mode == S_IFSOCK)
        describe_socket(object, read_u64(read_u64(file + FILE_PRIVATE) + SOCKET_SK));
    else
        object->kind = mode == S_IFIFO ? PIPE : mode == S_IFREG ? REGULAR_FILE : OTHER_FILE;
}

static __always_inline void fall_asleep(struct thread_time *t, void *task, u32 flags, u32 state, u64 now, bool current)
{
    u64 registers = (u64)registers_of(task), call = read_u64(registers + SYSCALL_NUMBER);
    u32 reason = OTHER_CALL, number = call;
    struct sleep_object none = {};
    t->object = none;
    if (flags & (PF_IO_WORKER | PF_KTHREAD))
        reason = IO_WORKER;  // the saved registers are zero, which is also the number of read()
    else if (state & TASK_STOPPED_OR_TRACED)
        reason = STOPPED;
    else if (call == ~0ULL)
        reason = NO_CALL;
    else if (call < CALL_NUMBERS) {
        u32 *known = reason_of_call.lookup(&number);
        if (known) reason = *known;
        if (reason < SLEEP_CALLS_POLL)
            find_object(&t->object, task, registers, reason, current);
        else if (reason == SLEEP_CALL_FUTEX || reason == SLEEP_CALL_FUTEX + 1) {
            // The first argument is the address of the lock word.
            u64 word = read_u64(registers + SYSCALL_ARG_0);
            t->object.kind = LOCK;
            t->object.address[0] = word;
            t->object.address[1] = word >> 32;
        }
    }
    t->reason = reason;
    t->uninterruptible = state & TASK_UNINTERRUPTIBLE;
    t->sleep_since = now;
}

static __always_inline void count_waker(u32 slot, u32 tid, void *waker)
{
    struct waker_key key = {.slot = slot, .waker_tid = tid};
    struct waker_value *w = wakers.lookup(&key);
    if (w) {
        w->count++;
        return;
    }
    struct waker_value first = {.count = 1, .user_tid = user_number(waker)};
    bpf_probe_read_kernel(first.comm, sizeof first.comm, waker + TASK_COMM);
    if (wakers.update(&key, &first)) count_dropped(DROPPED_WAKER);
}

static __always_inline void count_object(struct thread_time *t, u32 slot, u64 ns)
{
    struct sleep_object_key key = {.slot = slot, .reason = t->reason, .object = t->object};
    struct sleep_object_value *v = sleep_objects.lookup(&key), first = {.ns = ns, .count = 1};
    if (v) {
        v->ns += ns;
        v->count++;
    } else if (sleep_objects.update(&key, &first))
        count_dropped(DROPPED_SLEEP_OBJECT);
}

static __always_inline void end_sleep(struct thread_time *t, u32 slot, u64 ns)
{
    u32 cell = slot * REASONS + BOUNDED(t->reason, REASONS);
    struct sleep *s = thread_sleeps.lookup(&cell);
    t->sleep_since = 0;
    t->sleep_ns += ns;
    if (s) {
        s->ns += ns;
        s->count++;
        if (t->uninterruptible) s->uninterruptible_ns += ns;
        u64 kind = BOUNDED(t->waker_kind, WAKER_KINDS);
        s->wakers[kind]++;
    }
    if (t->object.kind) count_object(t, slot, ns);
}

int on_time_switch(struct bpf_raw_tracepoint_args *ctx)
{
    void *previous = TYPED_ARGUMENT(ctx, 1), *next = TYPED_ARGUMENT(ctx, 2);
    u32 slot = slot_of_tid(*(u32 *)(next + TASK_PID)), left = slot_of_tid(*(u32 *)(previous + TASK_PID));
    u32 in_window = window();
    if (!in_window || (slot <= OVERFLOW_SLOT && left <= OVERFLOW_SLOT)) return 0;
    u64 now = bpf_ktime_get_ns();
    struct thread_time *t = time_of(slot);
    if (t) {
        begin_change(t, in_window);
        if (t->sleep_since) end_sleep(t, slot, now - t->sleep_since);
        t->wait_since = 0;
        t->run_since = now;
        t->run_base = *(u64 *)(next + TASK_RUN);
        t->slept_from = 1;
        end_change(t);
    }
    t = time_of(left);
    if (!t) return 0;
    bool preempted = ctx->args[0];
    u32 state = PREVIOUS_STATE;
    u64 run = *(u64 *)(previous + TASK_RUN);
    begin_change(t, in_window);
    t->run_since = 0;
    if (!state || preempted)
        t->wait_since = now;
    else if (state & STATE_DEAD) {
        t->gone_ns = now;
        t->run_ns = run;
        t->wait_ns = *(u64 *)(previous + TASK_RUN_DELAY);
    } else {
        if (t->slept_from) t->slept_from = *(u64 *)(previous + TASK_LAST_ARRIVAL) + run - t->run_base;
        fall_asleep(t, previous, *(u32 *)(previous + TASK_FLAGS), state, now, true);
    }
    end_change(t);
    return 0;
}

// sched_wakeup: the thread is on a run queue now.
int on_time_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
    void *task = TYPED_ARGUMENT(ctx, 0);
    u32 slot = slot_of_tid(*(u32 *)(task + TASK_PID));
    struct thread_time *t = time_of(slot);
    u32 in_window = window();
    // A wake-up before the thread was switched out: the thread did not sleep.
    if (!in_window || !t || (t->window == in_window && (t->run_since || t->wait_since))) return 0;
    u64 now = bpf_ktime_get_ns(), queued = *(u64 *)(task + TASK_LAST_QUEUED);
    begin_change(t, in_window);
    if (t->sleep_since)
        end_sleep(t, slot, t->slept_from > 1 && queued > t->slept_from ? queued - t->slept_from : now - t->sleep_since);
    t->wait_since = now;
    end_change(t);
    return 0;
}

// sched_wakeup_new. For io_uring's threads (create_io_thread) the tracepoint sched_process_fork does not fire.
int on_time_wakeup_new(struct bpf_raw_tracepoint_args *ctx)
{
    void *task = TYPED_ARGUMENT(ctx, 0);
    u32 tid = *(u32 *)(task + TASK_PID), slot = slot_of_tid(tid);
    if (*(u32 *)(task + TASK_FLAGS) & PF_IO_WORKER) {
        u32 leader = *(u32 *)(task + TASK_TGID), none = NO_SLOT;
        struct thread *owner = slot > OVERFLOW_SLOT ? threads.lookup(&slot) : NULL;
        if (owner && owner->exit_ns) slot = NO_SLOT, slot_of.update(&tid, &none);
        if (!slot && slot_of_tid(leader)) slot = take_slot(task);
    }
    struct thread_time *t = time_of(slot);
    u32 in_window = window();
    if (!in_window || !t) return 0;
    begin_change(t, in_window);
    t->wait_since = bpf_ktime_get_ns();
    end_change(t);
    return 0;
}

// sched_waking: the only wake-up tracepoint that always fires in the waker's context.
int on_time_waking(struct bpf_raw_tracepoint_args *ctx)
{
    u32 slot = slot_of_tid(*(u32 *)(TYPED_ARGUMENT(ctx, 0) + TASK_PID)), zero = 0;
    struct thread_time *t = time_of(slot);
    if (!window() || !t) return 0;
    // The context lies on the stack in use. Read back from memory, because verifiers up to 6.12 allow no arithmetic with
    // a pointer to it.
    void *context = ctx;
    u64 stack = (u64)read_pointer(&context);
    u32 *timer = expiring_timer.lookup(&zero);
    void *waker = running_task();
    t->waker_kind = timer && *timer ? *timer : in_interrupt(stack, waker) ? BY_INTERRUPT : BY_THREAD;
    if (t->waker_kind == BY_THREAD) count_waker(slot, *(u32 *)(waker + TASK_PID), waker);
    return 0;
}

static __always_inline int timer_expires(u32 kind)
{
    u32 zero = 0, *timer = expiring_timer.lookup(&zero);
    if (timer) *timer = kind;
    return 0;
}

int on_hrtimer(void *ctx) { return timer_expires(BY_HRTIMER); }
int on_timer(void *ctx) { return timer_expires(BY_TIMER); }
int on_timer_exit(void *ctx) { return timer_expires(0); }

// Samples by the mode in which the thread runs. The saved registers do not distinguish a page fault from an interrupt
// of user mode; the outermost function of the kernel stack does.
struct sample_modes { u64 user, kernel, page_fault, interrupt; };
BPF_F_TABLE("array", u32, struct sample_modes, sample_modes, SLOTS, MMAPABLE);

static __always_inline bool in_page_fault(void *ctx)
{
    u64 stack[ENTRY_DEPTH] = {};
    long bytes = bpf_get_stack(ctx, stack, sizeof stack, 0);
    for (u32 i = 0; i < ENTRY_DEPTH; i++)
        if (bytes > (long)(8 * i) && stack[i] - PAGE_FAULT_ENTRY < PAGE_FAULT_ENTRY_SIZE) return true;
    return false;
}

static __always_inline void count_mode(void *ctx, struct pt_regs *registers, void *task, u32 slot)
{
    struct sample_modes *modes = sample_modes.lookup(&slot);
    if (!modes) return;
    if (registers->cs & 3)
        add(slot, &modes->user, 1);
    else if (!in_interrupt(registers->sp, task))
        add(slot, &modes->kernel, 1);
    else if (PAGE_FAULT_ENTRY_SIZE && in_page_fault(ctx))
        add(slot, &modes->page_fault, 1);
    else
        add(slot, &modes->interrupt, 1);
}

#ifdef SAMPLE_MODES_ALONE
struct mode_sample { struct pt_regs regs; u64 sample_period, addr; };

int on_mode_sample(struct mode_sample *ctx)
{
    void *task = running_task();
    u32 slot = slot_of_current(task);
    if (slot && window()) count_mode(ctx, &ctx->regs, task, slot);
    return 0;
}
#endif

struct thread_time_record { u64 now_ns, run_ns, wait_ns; u32 slot, tid; struct thread_time time; };

// One record per living traced thread, with the kernel's sums. The first pass in a sampling window also determines the
// current state of each thread.
int read_thread_times(struct bpf_iter__task *ctx)
{
    void *task = ctx->task;
    if (!task) return 0;
    u32 tid = read_u32(task + TASK_PID), slot = slot_of_tid(tid);
#ifdef WHOLE_MACHINE
    if (!slot && tid) {
        u32 *known = slot_of.lookup(&tid);
        if (known && *known == NO_SLOT) slot = take_slot(task);
    }
#endif
    struct thread_time *t = time_of(slot);
    if (!t) return 0;
    struct thread_time_record r = {.slot = slot, .tid = tid};
    r.run_ns = read_u64((u64)task + TASK_RUN);
    r.wait_ns = read_u64((u64)task + TASK_RUN_DELAY);
    r.now_ns = bpf_ktime_get_ns();
    if (t->window != window()) {
        begin_change(t, window());
        u32 state = read_u32(task + TASK_STATE);
        t->run_base = r.run_ns;
        if (read_u32(task + TASK_ON_CPU))
            t->run_since = r.now_ns;
        else if (!state || (read_u32(task + TASK_ON_RQ) && !(DEQUEUE_DELAYED)))
            t->wait_since = r.now_ns;
        else
            fall_asleep(t, task, read_u32(task + TASK_FLAGS), state, r.now_ns, false);
        end_change(t);
    }
    bpf_probe_read_kernel(&r.time, sizeof r.time, t);
    bpf_seq_write(ctx->meta->seq, &r, sizeof r);
    return 0;
}
