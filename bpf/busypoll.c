// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Polls of NAPI instances, told apart by who polls: a thread that busy-polls, the softirq, or a NAPI kernel thread.
//
// napi_busy_loop() owns an instance from its first poll to busy_poll_stop(): until then NAPI_STATE_IN_BUSY_POLL is
// set, so neither the budget nor the running thread has to be guessed from. busy_poll_stop() clears it and polls once
// more on the same CPU, with preemption off: the next poll of that instance there is the episode's last
// (net/core/dev.c). An episode is counted up on its CPU and added to its thread at the end: a poll that finds nothing
// costs no hash look-up.

#define NAPI_STATE_IN_BUSY_POLL 6
#define PF_KTHREAD 0x00200000
#define MOST_NAPIS 512
#define THREAD_SIZE 16384

struct episode { u64 napi, since_ns, attempts, hits, packets; u64 budget, window; };
BPF_PERCPU_ARRAY(episodes, struct episode, 1);

struct busy_key { u32 slot; u32 napi_id; u32 budget; };
struct busy { u64 attempts, hits, packets, stops, stop_packets, ns; };
BPF_TABLE("hash", struct busy_key, struct busy, busy_polls, 8192);

// By CPU, as all CPUs' backlogs have no id of their own: the poll runs there with softirqs off, so that nobody else
// writes its counters, and no cache line travels between CPUs.
struct softirq_key { u32 slot; u32 napi_id; u32 threaded; u32 cpu; };
struct softirq { u64 polls, packets; };
BPF_TABLE("hash", struct softirq_key, struct softirq, softirq_polls, 4096);

// What an instance is, written once.
struct napi { u64 queue, defer_hard_irqs, gro_flush_timeout_ns; char device[16]; };
BPF_TABLE("hash", u32, struct napi, napis, 4096);

// The instance's place on its device: drivers add them queue by queue, and the list's head is the newest.
static __always_inline u64 place_of(void *napi, void *device)
{
    void *head = device + DEVICE_NAPI_LIST, *entry = read_pointer(napi + NAPI_DEV_LIST);
    u64 place = 0;
    for (; place < MOST_NAPIS && entry && entry != head; place++) entry = read_pointer(entry);
    return place;
}

static __always_inline void describe(void *napi, u32 napi_id)
{
    if (napis.lookup(&napi_id)) return;
    void *device = read_pointer(napi + NAPI_DEV);
    struct napi n = {.queue = place_of(napi, device)};
    bpf_probe_read_kernel(n.device, sizeof n.device, device + DEVICE_NAME);
    n.defer_hard_irqs = read_u32(DEFERRAL_OWNER + DEFER_HARD_IRQS);
    n.gro_flush_timeout_ns = (u64)read_pointer(DEFERRAL_OWNER + GRO_FLUSH_TIMEOUT);
    napis.update(&napi_id, &n);
}

static __always_inline void end_episode(struct episode *e, void *napi, u32 budget, u32 packets)
{
    u32 napi_id = *(u32 *)(napi + NAPI_ID);
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    struct busy_key key = {.slot = slot ? slot : SHARED_SLOT, .napi_id = napi_id, .budget = budget};
    struct busy zero = {}, *b = busy_polls.lookup(&key);
    if (!b) {
        describe(napi, napi_id);
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
}

static __always_inline void count_softirq(void *napi, u32 packets)
{
    struct softirq_key key = {.slot = SHARED_SLOT, .napi_id = *(u32 *)(napi + NAPI_ID)};
    u64 thread = *(u64 *)(napi + NAPI_THREAD);
    key.threaded = thread && thread == (u64)bpf_get_current_task_btf();
    key.cpu = bpf_get_smp_processor_id();
    struct softirq zero = {}, *s = softirq_polls.lookup(&key);
    if (!s) {
        describe(napi, key.napi_id);
        softirq_polls.update(&key, &zero);
        s = softirq_polls.lookup(&key);
    }
    if (!s) {
        count_dropped(DROPPED_SOFTIRQ_POLL);
        return;
    }
    s->polls += 1;
    s->packets += packets;
}

// Softirqs run on a stack of the CPU's own, busy polling on the thread's. A tracepoint's arguments, to which ctx
// points, are on the stack in use (bpf_trace_run3()); the program's own stack may be private memory since 6.13.
static __always_inline bool on_task_stack(void *ctx, void *task)
{
    u64 here = 0;
    // The helper gives the pointer as a plain number, which the verifier lets be compared.
    bpf_probe_read_kernel(&here, sizeof here, &ctx);
    return here - *(u64 *)(task + TASK_STACK) < THREAD_SIZE;
}

// Only where it was interrupted in user mode does the thread's own stack, empty then, serve for a softirq, too
// (call_on_irqstack_cond(), arch/x86/include/asm/irq_stack.h). Its number of a system call is -1 there.
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

// The state bit alone is not proof: a softirq gives an instance back inside its poll, and a thread on another CPU may
// have taken it before the softirq's tracepoint fires. Only a budget of the device's weight leaves that open.
static __always_inline bool is_busy_poll(void *ctx, void *napi, u32 budget)
{
    if (!(*(u64 *)(napi + NAPI_STATE) >> NAPI_STATE_IN_BUSY_POLL & 1)) return false;
    if (budget != *(u32 *)(napi + NAPI_WEIGHT)) return true;
    // ksoftirqd runs softirqs on its own stack, and polls for nobody.
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
    // One that the last window's end cut off must not be taken for this one's.
    if (e->window != open) e->napi = 0;
    e->window = open;
#endif
    if (!is_busy_poll(ctx, napi, budget)) {
        if (e->napi == (u64)napi && e->budget == budget)
            end_episode(e, napi, budget, packets);
        else
            count_softirq(napi, packets);
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

// ---- The poll loop itself, where the kernel lets it be seen: also those in which another thread had the instance. ----

struct loops { u64 entered, ns; };
BPF_F_TABLE("array", u32, struct loops, busy_loops, SLOTS, MMAPABLE);
BPF_F_TABLE("array", u32, u64, busy_loop_since, SLOTS, MMAPABLE);

int on_loop_enter(void *ctx)
{
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    u64 *since = busy_loop_since.lookup(&slot);
    if (slot > SHARED_SLOT && since) *since = window() ? bpf_ktime_get_ns() : 0;
    return 0;
}

int on_loop_exit(void *ctx)
{
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    u64 *since = busy_loop_since.lookup(&slot);
    struct loops *l = busy_loops.lookup(&slot);
    if (slot <= SHARED_SLOT || !since || !*since || !l || !window()) return 0;
    l->entered += 1;
    l->ns += bpf_ktime_get_ns() - *since;
    *since = 0;
    return 0;
}
