// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Context switches by thread and by next task; optionally run-queue latency, the time that a thread waited for a CPU.

struct switches { u64 voluntary, involuntary; };
BPF_F_TABLE("array", u32, struct switches, thread_switches, SLOTS, MMAPABLE);

struct next_task_key { u32 slot; u32 cpu; u32 next_tid; };
struct next_task { u64 voluntary, involuntary; u64 next_user_tid; char next_comm[16]; };
BPF_TABLE("hash", struct next_task_key, struct next_task, next_tasks, NEXT_TASKS);

#ifdef RUN_QUEUE
struct run_queue { u64 total_ns; u64 buckets[LOG_LINEAR_BUCKETS]; };
BPF_F_TABLE("array", u32, struct run_queue, run_queue_latency, SLOTS, MMAPABLE);
BPF_F_TABLE("array", u32, u64, runnable_since, SLOTS, MMAPABLE);

static __always_inline void becomes_runnable(u32 slot)
{
    u64 *since = runnable_since.lookup(&slot);
    if (since && slot != OVERFLOW_SLOT) *since = bpf_ktime_get_ns();
}

static __always_inline void starts_running(u32 slot)
{
    u64 *since = runnable_since.lookup(&slot);
    if (!since || !*since) return;
    u64 ns = bpf_ktime_get_ns() - *since;
    *since = 0;
    struct run_queue *q = run_queue_latency.lookup(&slot);
    u64 bucket = log_linear_bucket(ns);
    if (!q) return;
    q->total_ns += ns;
    q->buckets[bucket] += 1;
}

// sched_wakeup and sched_wakeup_new
int on_wakeup(struct bpf_raw_tracepoint_args *ctx)
{
    u32 slot = slot_of_tid(*(u32 *)(TYPED_ARGUMENT(ctx, 0) + TASK_PID));
    if (slot) becomes_runnable(slot);
    return 0;
}
#endif

// One lookup by thread, CPU and next task. Only switches away from one thread update a value, so no atomic is needed
// (add() uses one for the overflow slot).
static __always_inline void count_next_task(u32 slot, void *next, u32 next_tid, bool voluntary)
{
    struct next_task_key key = {.slot = slot, .cpu = bpf_get_smp_processor_id(), .next_tid = next_tid};
    struct next_task *t = next_tasks.lookup(&key);
    if (!t) {
        struct next_task first = {};
        if (next_tid) first.next_user_tid = user_number(next);
        bpf_probe_read_kernel(first.next_comm, sizeof first.next_comm, next + TASK_COMM);
        next_tasks.update(&key, &first);
        t = next_tasks.lookup(&key);
    }
    if (t)
        add(slot, voluntary ? &t->voluntary : &t->involuntary, 1);
    else
        count_dropped(DROPPED_NEXT_TASK);
}

int on_switch(struct bpf_raw_tracepoint_args *ctx)
{
    if (!window()) return 0;
    void *previous = TYPED_ARGUMENT(ctx, 1), *next = TYPED_ARGUMENT(ctx, 2);
    u32 next_tid = *(u32 *)(next + TASK_PID);
#ifdef RUN_QUEUE
    u32 next_slot = slot_of_tid(next_tid);
    if (next_slot) starts_running(next_slot);
#endif
    u32 slot = slot_of_current(previous);
    if (!slot) return 0;
    // As in __schedule(): a switch is voluntary if the thread goes to sleep and was not preempted.
    bool preempted = ctx->args[0];
    bool asleep = SWITCH_STATE;
    bool voluntary = !preempted && asleep;
#ifdef RUN_QUEUE
    if (!asleep || preempted) becomes_runnable(slot);
#endif
    struct switches *s = thread_switches.lookup(&slot);
    if (s) add(slot, voluntary ? &s->voluntary : &s->involuntary, 1);
    count_next_task(slot, next, next_tid, voluntary);
    return 0;
}
