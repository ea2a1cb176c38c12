// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The traced threads. Every traced thread has a slot, a small number that indexes the counters of all probes.
// Only the thread itself (or the scheduler, under the lock of its run queue) writes to the counters of its slot, so
// they need neither atomics nor a copy per CPU, and user space reads them through a memory map.
#include <linux/types.h>
#include <uapi/linux/ptrace.h>

#define MMAPABLE (1U << 10)
#define NO_SLOT 0
// Threads that found no free slot share this one: their events are counted, but under no name.
#define OVERFLOW_SLOT 1
// In slot_of: a thread of netprobe itself, or of the server before its release.
#define UNTRACED 0xffffffffU

struct thread {
    u64 start_ns;
    u64 exit_ns;
    u64 run_before_ns, delay_before_ns;  // the kernel's sums when the thread got its slot; with the probe thread_time
    u32 tid;       // as the kernel numbers it
    u32 tgid;
    u32 user_tid;  // as netprobe's own PID namespace numbers it; 0 = not visible there
    u32 user_tgid;
    char comm[16];
};

struct config {
    u64 pid_namespace;
    u32 pid_level;
    u32 match_comm;
    char comm[16];
};

BPF_F_TABLE("array", u32, u32, slot_of, PID_MAX, MMAPABLE);
BPF_F_TABLE("array", u32, struct thread, threads, SLOTS, MMAPABLE);
BPF_F_TABLE("array", u32, struct config, config, 1, MMAPABLE);
BPF_QUEUE(free_slots, u32, SLOTS);
// Dropped events, by DROPPED_… index.
BPF_PERCPU_ARRAY(dropped, u64, DROPPED_KINDS);

// The nth argument of a BTF-typed program. In assembly: BCC replaces accesses through kernel pointers that it
// recognizes by a call of bpf_probe_read per field (60 ns), which typed programs are meant to avoid.
#define TYPED_ARGUMENT(ctx, n)                                                                        \
    ({                                                                                                \
        void *argument;                                                                               \
        asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(argument) : "r"(ctx), "i"(8 * (n)));             \
        argument;                                                                                     \
    })

// An index below a limit, in a form that the verifier accepts: the bound must be on the register that is used as the
// index, so the compiler may neither truncate the value nor compare a copy.
#define BOUNDED(value, limit)                                                                         \
    ({                                                                                                \
        u64 bounded = (value);                                                                        \
        asm volatile("" : "+r"(bounded));                                                             \
        if (bounded >= (limit)) bounded = (limit) - 1;                                                \
        asm volatile("" : "+r"(bounded));                                                             \
        bounded;                                                                                      \
    })

// The number of the current sampling window, from 1; 0: none, nothing is counted. Programs are attached one after
// another, and the window begins for all of them at the same moment.
#ifdef WINDOWS
BPF_ARRAY(sampling_window, u32, 1);

static __always_inline u32 window(void)
{
    u32 zero = 0, *number = sampling_window.lookup(&zero);
    return number ? *number : 0;
}
#else
#define window() 1
#endif

static __always_inline void count_dropped(u32 kind)
{
    u64 *count = dropped.lookup(&kind);
    if (count) *count += 1;
}

// bpf_probe_read_user by number (include/uapi/linux/bpf.h): for a call by name, BCC first reads all kernel symbols to
// find out whether the helper exists, which takes longer than the compilation.
static long (*read_user)(void *destination, u32 size, const void *source) = (void *)112;

static __always_inline void *read_pointer(void *address)
{
    void *value = NULL;
    bpf_probe_read_kernel(&value, sizeof value, address);
    return value;
}

// The number (SYSCALL_NUMBER) or an argument (SYSCALL_ARG_n) of the system call with these registers.
static __always_inline u64 syscall_argument(void *regs, u64 offset)
{
    u64 value = 0;
    bpf_probe_read_kernel(&value, sizeof value, regs + offset);
    return value;
}

static __always_inline u32 read_u32(void *address)
{
    u32 value = 0;
    bpf_probe_read_kernel(&value, sizeof value, address);
    return value;
}

// The number of a task in netprobe's PID namespace; 0: not visible there.
static __always_inline u32 user_number(void *task)
{
    u32 zero = 0;
    struct config *c = config.lookup(&zero);
    void *pid = read_pointer(task + TASK_THREAD_PID);
    if (!c || !pid || read_u32(pid + PID_LEVEL) < c->pid_level) return 0;
    void *upid = pid + PID_NUMBERS + c->pid_level * SIZEOF_UPID;
    if ((u64)read_pointer(upid + UPID_NS) != c->pid_namespace) return 0;
    return read_u32(upid + UPID_NR);
}

static __always_inline void name_thread(struct thread *t, void *task)
{
    bpf_probe_read_kernel(t->comm, sizeof t->comm, task + TASK_COMM);
}

static __always_inline u32 take_slot(void *task)
{
    u32 slot = OVERFLOW_SLOT, tid = read_u32(task + TASK_PID);
    if (free_slots.pop(&slot)) {
        slot = OVERFLOW_SLOT;
        count_dropped(DROPPED_THREAD);
    } else {
        struct thread *t = threads.lookup(&slot);
        if (!t) return NO_SLOT;
        t->start_ns = bpf_ktime_get_ns();
        t->exit_ns = 0;
        t->tid = tid;
        t->tgid = read_u32(task + TASK_TGID);
        t->user_tid = user_number(task);
        t->user_tgid = user_number(read_pointer(task + TASK_GROUP_LEADER));
#ifdef TASK_RUN_DELAY
        t->run_before_ns = (u64)read_pointer(task + TASK_RUN);
        t->delay_before_ns = (u64)read_pointer(task + TASK_RUN_DELAY);
#endif
        name_thread(t, task);
    }
    slot_of.update(&tid, &slot);
    return slot;
}

// The slot of the thread that the kernel numbers tid; NO_SLOT: not traced.
static __always_inline u32 slot_of_tid(u32 tid)
{
    u32 *slot = slot_of.lookup(&tid);
    return slot && *slot < SLOTS ? *slot : NO_SLOT;
}

// The slot of the running thread, given as bpf_get_current_task_btf(). The hot path has a single helper call: on CPUs
// with return thunks, a call costs as much as the rest of the program. In a recording of the whole machine, a thread
// gets its slot at its first event.
static __always_inline u32 slot_of_current(void *task)
{
    u32 tid = *(u32 *)(task + TASK_PID);
#ifdef WHOLE_MACHINE
    u32 *slot = slot_of.lookup(&tid);
    if (slot && *slot == NO_SLOT && tid) return take_slot(task);
#endif
    return slot_of_tid(tid);
}

static __always_inline void add(u32 slot, u64 *counter, u64 amount)
{
    if (slot == OVERFLOW_SLOT)
        __sync_fetch_and_add(counter, amount);
    else
        *counter += amount;
}

// Times are counted in log-linear buckets, four per power of two: bucket b starts at (4 + b % 4) << (b / 4 - 1) for
// b >= 4. netprobe/probes/histogram.py has the inverse.
static __always_inline u64 log_linear_bucket(u64 value)
{
    if (value < 4) return value;
    u64 exponent = bpf_log2l(value) - 1;
    return BOUNDED(exponent * 4 + ((value >> (exponent - 2)) & 3) - 4, LOG_LINEAR_BUCKETS);
}

#ifdef SAMPLE_MODES
// In thread_time.c, for every program that takes samples.
static __always_inline void count_mode(void *ctx, struct pt_regs *registers, void *task, u32 slot);
#else
#define count_mode(ctx, registers, task, slot)
#endif

// ---- Fork, exec and exit: a child of a traced thread is traced before its first event. ----

int on_fork(struct bpf_raw_tracepoint_args *ctx)
{
    void *child = (void *)ctx->args[1];
    u32 tid = read_u32(child + TASK_PID), none = NO_SLOT;
#ifndef WHOLE_MACHINE
    if (slot_of_tid((u32)bpf_get_current_pid_tgid())) {
        take_slot(child);
        return 0;
    }
#else
    // A thread that netprobe starts during the recording, such as one of a library, is not traced either.
    u64 parent = bpf_get_current_pid_tgid();
    u32 parent_tid = parent, *parent_slot = slot_of.lookup(&parent_tid);
    if (parent_slot && *parent_slot == UNTRACED && read_u32(child + TASK_TGID) == parent >> 32) none = UNTRACED;
#endif
    // The number may be that of an ended thread.
    slot_of.update(&tid, &none);
    return 0;
}

static __always_inline bool has_wanted_comm(void *task)
{
    u32 zero = 0;
    struct config *c = config.lookup(&zero);
    if (!c || !c->match_comm) return false;
    u64 name[2] = {};
    bpf_get_current_comm(name, sizeof name);
    return name[0] == *(u64 *)&c->comm[0] && name[1] == *(u64 *)&c->comm[8];
}

static __always_inline void end_thread(u32 tid, void *task)
{
    u32 slot = slot_of_tid(tid);
    if (slot <= OVERFLOW_SLOT) return;
    struct thread *t = threads.lookup(&slot);
    if (!t) return;
    t->exit_ns = bpf_ktime_get_ns();
    name_thread(t, task);
}

int on_exec(struct bpf_raw_tracepoint_args *ctx)
{
    void *task = (void *)ctx->args[0];
    u32 tid = bpf_get_current_pid_tgid(), old_tid = ctx->args[1];
    if (old_tid != tid) end_thread(old_tid, task);
    u32 *known = slot_of.lookup(&tid);
    if (!known) return 0;
    u32 slot = *known;
    if (slot == NO_SLOT && has_wanted_comm(task)) {
        take_slot(task);
        return 0;
    }
    if (slot <= OVERFLOW_SLOT || slot >= SLOTS) return 0;
    struct thread *t = threads.lookup(&slot);
    if (!t) return 0;
    // A thread other than the first that calls exec gets the number of the first.
    if (t->tid != tid) {
        take_slot(task);
        return 0;
    }
    t->exit_ns = 0;
    name_thread(t, task);
    return 0;
}

int on_exit(struct bpf_raw_tracepoint_args *ctx)
{
    end_thread((u32)bpf_get_current_pid_tgid(), (void *)ctx->args[0]);
    return 0;
}

// ---- All tasks of netprobe's PID namespace, read in one pass. ----

struct seq_file;
struct bpf_iter_meta { struct seq_file *seq; u64 session_id; u64 seq_num; };
struct bpf_iter__task { struct bpf_iter_meta *meta; void *task; };

struct task_record {
    u64 pid_namespace;
    u32 pid_level;
    u32 tid, tgid, parent_tgid;
    u32 user_tid, user_tgid;
    u32 execs, unused;
    u64 run_ns;
    char comm[16];
};
_Static_assert(sizeof(struct task_record) == TASK_RECORD_SIZE, "task_record differs from engine/program_source.py");

BPF_ITER(task)
{
    void *task = ctx->task;
    if (!task) return 0;
    void *own = read_pointer((void *)bpf_get_current_task() + TASK_THREAD_PID);
    struct task_record r = {};
    r.pid_level = read_u32(own + PID_LEVEL);
    u64 upid = PID_NUMBERS + (u64)r.pid_level * SIZEOF_UPID;
    r.pid_namespace = (u64)read_pointer(own + upid + UPID_NS);
    r.tid = read_u32(task + TASK_PID);
    r.tgid = read_u32(task + TASK_TGID);
    r.parent_tgid = read_u32(read_pointer(task + TASK_REAL_PARENT) + TASK_TGID);
    r.user_tid = read_u32(read_pointer(task + TASK_THREAD_PID) + upid + UPID_NR);
    r.user_tgid = read_u32(read_pointer(read_pointer(task + TASK_GROUP_LEADER) + TASK_THREAD_PID) + upid + UPID_NR);
    r.execs = read_u32(task + TASK_EXECS);
    r.run_ns = (u64)read_pointer(task + TASK_RUN);
    bpf_probe_read_kernel(r.comm, sizeof r.comm, task + TASK_COMM);
    bpf_seq_write(ctx->meta->seq, &r, sizeof r);
    return 0;
}
