// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Polls of NAPI instances by poller: a thread that busy-polls, the softirq, or a NAPI kernel thread.
//
// napi_busy_loop() owns an instance from its first poll to busy_poll_stop(): until then NAPI_STATE_IN_BUSY_POLL is
// set, so the poller need not be derived from the budget or the running thread. busy_poll_stop() clears it and polls
// once more on the same CPU, with preemption off: the next poll of that instance there is the last of the episode
// (net/core/dev.c). An episode is counted on its CPU and added to its thread at its end: a poll without packets needs
// no hash lookup.

#define NAPI_STATE_IN_BUSY_POLL 6
#define PF_KTHREAD 0x00200000
#define MAX_NAPIS 512
#define THREAD_SIZE 16384

struct episode { u64 napi, since_ns, attempts, hits, packets; u64 budget, window; };
BPF_PERCPU_ARRAY(episodes, struct episode, 1);

struct busy_key { u32 slot; u32 napi_id; u32 budget; };
struct busy { u64 attempts, hits, packets, stops, stop_packets, ns; };
BPF_TABLE("hash", struct busy_key, struct busy, busy_polls, 8192);

// By CPU, as the backlogs of all CPUs have id 0: the poll runs with softirqs off, so nothing else writes to these
// counters, and no cache line moves between CPUs.
struct softirq_key { u32 slot; u32 napi_id; u32 threaded; u32 cpu; };
struct softirq { u64 polls, packets; };
BPF_TABLE("hash", struct softirq_key, struct softirq, softirq_polls, 4096);

// The parameters of an instance, written once.
struct napi { u64 queue, defer_hard_irqs, gro_flush_timeout_ns; char device[16]; };
BPF_TABLE("hash", u32, struct napi, napis, 4096);

// The position of the instance on its device: drivers add instances queue by queue, the list has the newest first.
static __always_inline u64 position_of(void *napi, void *device)
{
    void *head = device + DEVICE_NAPI_LIST, *entry = read_pointer(napi + NAPI_DEV_LIST);
    u64 position = 0;
    for (; position < MAX_NAPIS && entry && entry != head; position++) entry = read_pointer(entry);
    return position;
}

static __always_inline void describe(void *napi, u32 napi_id)
{
    if (napis.lookup(&napi_id)) return;
    void *device = read_pointer(napi + NAPI_DEV);
    struct napi n = {.queue = position_of(napi, device)};
    bpf_probe_read_kernel(n.device, sizeof n.device, device + DEVICE_NAME);
    n.defer_hard_irqs = read_u32(DEFERRAL_OWNER + DEFER_HARD_IRQS);
    n.gro_flush_timeout_ns = (u64)read_pointer(DEFERRAL_OWNER + GRO_FLUSH_TIMEOUT);
    napis.update(&napi_id, &n);
}

// Returns whether the thread polled the instance for the first time.
static __always_inline bool end_episode(struct episode *e, void *napi, u32 budget, u32 packets)
{
    u32 napi_id = *(u32 *)(napi + NAPI_ID);
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    struct busy_key key = {.slot = slot ? slot : OVERFLOW_SLOT, .napi_id = napi_id, .budget = budget};
    struct busy zero = {}, *b = busy_polls.lookup(&key);
    bool first = !b;
    if (!b) {
        busy_polls.update(&key, &zero);
        b = busy_polls.lookup(&key);
    }
    if (b) {
        add(key.slot, &b->attempts, e->attempts);
        add(key.slot, &b->hits, e->hits);
        add(key.slot, &b->packets, e->packets);
        add(key.slot, &b->stops, 1);
        add(key.slot, &b->stop_packets, packets);
        add(key.slot, &b->ns, bpf_ktime_get_ns() - e->since_ns);
    } else {
        count_dropped(DROPPED_BUSY_POLL);
    }
    e->napi = e->attempts = e->hits = e->packets = 0;
    return first;
}

// Returns whether this is the first poll of the instance on this CPU.
static __always_inline bool count_softirq(void *napi, u32 packets)
{
    struct softirq_key key = {.slot = OVERFLOW_SLOT, .napi_id = *(u32 *)(napi + NAPI_ID)};
    u64 thread = *(u64 *)(napi + NAPI_THREAD);
    key.threaded = thread && thread == (u64)bpf_get_current_task_btf();
    key.cpu = bpf_get_smp_processor_id();
    struct softirq zero = {}, *s = softirq_polls.lookup(&key);
    bool first = !s;
    if (!s) {
        softirq_polls.update(&key, &zero);
        s = softirq_polls.lookup(&key);
    }
    if (!s) {
        count_dropped(DROPPED_SOFTIRQ_POLL);
        return first;
    }
    s->polls += 1;
    s->packets += packets;
    return first;
}

// Softirqs run on a stack of the CPU's own, busy polling on the thread's. A tracepoint's arguments, to which ctx
// points, are on the stack in use (bpf_trace_run3()); the program's own stack may be private memory since 6.13.
static __always_inline bool on_task_stack(void *ctx, void *task)
{
    u64 here = 0;
    // The helper returns the pointer as a plain number, which the verifier allows to be compared.
    bpf_probe_read_kernel(&here, sizeof here, &ctx);
    return here - *(u64 *)(task + TASK_STACK) < THREAD_SIZE;
}

// A softirq runs on the stack of the thread only if it interrupted the thread in user mode (call_on_irqstack_cond(),
// arch/x86/include/asm/irq_stack.h). The thread then has no number of a system call (-1).
static __always_inline bool in_system_call(void *task)
{
#ifdef SYSCALL_NUMBER
    s32 number = -1;
    bpf_probe_read_kernel(&number, sizeof number, (void *)bpf_task_pt_regs(task) + SYSCALL_NUMBER);
    return number >= 0;
#else
    return true;
#endif
}

// The state bit alone is not sufficient: a softirq releases an instance inside its poll, and a thread on another CPU
// may acquire it before the tracepoint of the softirq. This is possible only if the budget is the device's weight.
static __always_inline bool is_busy_poll(void *ctx, void *napi, u32 budget)
{
    if (!(*(u64 *)(napi + NAPI_STATE) >> NAPI_STATE_IN_BUSY_POLL & 1)) return false;
    if (budget != *(u32 *)(napi + NAPI_WEIGHT)) return true;
    // ksoftirqd runs softirqs on its own stack, and does not busy-poll.
    void *task = (void *)bpf_get_current_task_btf();
    return !(*(u32 *)(task + TASK_FLAGS) & PF_KTHREAD) && on_task_stack(ctx, task) && in_system_call(task);
}

// napi_poll: napi, work, budget.
int on_napi_poll(struct bpf_raw_tracepoint_args *ctx)
{
    void *napi = TYPED_ARGUMENT(ctx, 0);
    u32 packets = (u32)(u64)TYPED_ARGUMENT(ctx, 1), budget = (u32)(u64)TYPED_ARGUMENT(ctx, 2), zero = 0;
    struct episode *e = episodes.lookup(&zero);
    if (!e) return 0;
#ifdef WINDOWS
    u32 open = window();
    if (!open) return 0;
    // An episode that the end of the previous window interrupted must not be continued.
    if (e->window != open) e->napi = 0;
    e->window = open;
#endif
    if (!is_busy_poll(ctx, napi, budget)) {
        bool last = e->napi == (u64)napi && e->budget == budget;
        bool first = last ? end_episode(e, napi, budget, packets) : count_softirq(napi, packets);
        // In one place, as its loop takes most of the time of the verifier.
        if (first) describe(napi, *(u32 *)(napi + NAPI_ID));
        return 0;
    }
    if (e->napi != (u64)napi) {
        e->napi = (u64)napi;
        e->budget = budget;
        e->since_ns = bpf_ktime_get_ns();
        e->attempts = e->hits = e->packets = 0;
    }
    e->attempts += 1;
    e->hits += packets > 0;
    e->packets += packets;
    return 0;
}

// ---- The busy-poll loop, where the kernel allows to trace it: also when another thread has the instance. ----

struct loops { u64 entered, ns; };
BPF_F_TABLE("array", u32, struct loops, busy_loops, SLOTS, MMAPABLE);
BPF_F_TABLE("array", u32, u64, busy_loop_since, SLOTS, MMAPABLE);

int on_loop_enter(void *ctx)
{
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    u64 *since = busy_loop_since.lookup(&slot);
    if (slot > OVERFLOW_SLOT && since) *since = window() ? bpf_ktime_get_ns() : 0;
    return 0;
}

int on_loop_exit(void *ctx)
{
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    u64 *since = busy_loop_since.lookup(&slot);
    struct loops *l = busy_loops.lookup(&slot);
    if (slot <= OVERFLOW_SLOT || !since || !*since || !l || !window()) return 0;
    l->entered += 1;
    l->ns += bpf_ktime_get_ns() - *since;
    *since = 0;
    return 0;
}
