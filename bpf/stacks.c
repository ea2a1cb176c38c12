// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Stacks of running threads at samples, or of threads at the switch off their CPU.
// The key of a stack is a 64-bit hash of its addresses. The kernel's stack map has a short hash, and keeps one stack
// for each value of it.

struct addresses { u64 ip[STACK_DEPTH]; };
struct stack_key { u32 slot; u32 execs; u64 kernel_stack; u64 user_stack; };
struct stack_weight { u64 samples, weight; };
BPF_TABLE("hash", u64, struct addresses, stacks, STACKS);
BPF_TABLE("hash", struct stack_key, struct stack_weight, stack_weights, STACK_ROWS);
// A stack of addresses is too large for the BPF stack. An interrupt is not interrupted by one of its own kind, so a
// copy per CPU and kind of program is sufficient.
BPF_PERCPU_ARRAY(stack_room, struct addresses, 1);

static __always_inline u64 mixed(u64 value)
{
    value ^= value >> 32;
    value *= 0xd6e8feb86659fd93ULL;
    value ^= value >> 29;
    return value;
}

// Store the stack of the running thread in the map and return its hash; 0: no stack.
static __always_inline u64 take_stack(void *ctx, u64 flags)
{
    u32 zero = 0;
    struct addresses *room = stack_room.lookup(&zero);
    if (!room) return 0;
    long bytes = bpf_get_stack(ctx, room, sizeof *room, flags);
    if (bytes <= 0) return 0;
    u64 hash = bytes;
    for (u32 i = 0; i < STACK_DEPTH; i++) {
        // The kernel has cleared the rest.
        if (!room->ip[i]) break;
        hash = mixed(hash + room->ip[i]);
    }
    hash |= 1;
    if (room->ip[STACK_DEPTH - 1]) count_dropped(DROPPED_STACK_END);
    if (!stacks.lookup(&hash) && stacks.update(&hash, room)) {
        count_dropped(DROPPED_STACK);
        return 0;
    }
    return hash;
}

static __always_inline void add_weight(struct stack_key *key, u64 weight)
{
    struct stack_weight *w = stack_weights.lookup(key);
    if (!w) {
        struct stack_weight none = {};
        stack_weights.update(key, &none);
        w = stack_weights.lookup(key);
    }
    if (!w) {
        count_dropped(DROPPED_SAMPLE);
        return;
    }
    add(key->slot, &w->samples, 1);
    add(key->slot, &w->weight, weight);
}

static __always_inline void fill_key(struct stack_key *key, void *ctx, void *task, u32 slot)
{
    key->slot = slot;
    // Addresses have another meaning after an exec. The kernel counts execs; a child continues the count of its parent.
    key->execs = read_u32(task + TASK_EXECS);
#ifndef USER_STACKS_ONLY
    key->kernel_stack = take_stack(ctx, 0);
#endif
#ifndef KERNEL_STACKS_ONLY
    key->user_stack = take_stack(ctx, BPF_F_USER_STACK);
#endif
}

#ifdef OFF_CPU
struct blocked { u64 since_ns; struct stack_key key; };
BPF_F_TABLE("array", u32, struct blocked, blocked_threads, SLOTS, MMAPABLE);

int on_switch_for_stacks(struct bpf_raw_tracepoint_args *ctx)
{
    void *previous = TYPED_ARGUMENT(ctx, 1), *next = TYPED_ARGUMENT(ctx, 2);
    u64 now = bpf_ktime_get_ns();
    u32 next_slot = slot_of_tid(*(u32 *)(next + TASK_PID));
    struct blocked *b = next_slot > OVERFLOW_SLOT ? blocked_threads.lookup(&next_slot) : NULL;
    if (b && b->since_ns) {
        struct stack_key key = b->key;
        u64 ns = now - b->since_ns;
        b->since_ns = 0;
        if (ns >= SHORTEST_NS) add_weight(&key, ns);
    }
    u32 slot = slot_of_current(previous);
    b = slot > OVERFLOW_SLOT ? blocked_threads.lookup(&slot) : NULL;
    if (!b) return 0;
    fill_key(&b->key, ctx, previous, slot);
    b->since_ns = now;
    return 0;
}
#else
// include/uapi/linux/bpf_perf_event.h
struct bpf_perf_event_data { struct pt_regs regs; u64 sample_period; u64 addr; };

int on_sample(struct bpf_perf_event_data *ctx)
{
    if (!window()) return 0;
    void *task = (void *)bpf_get_current_task_btf();
    u32 slot = slot_of_current(task);
    if (!slot) return 0;
    struct stack_key key = {};
    fill_key(&key, ctx, task, slot);
    add_weight(&key, ctx->sample_period);
    count_mode(ctx, &ctx->regs, task, slot);
    return 0;
}
#endif
