// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Waits on epoll sets and io_uring instances, and accepts from listeners, by thread and file descriptor.
// Other system calls return after a comparison, before any helper call.

enum { BY_EPOLL, BY_ACCEPT, BY_IO_URING };

struct served_key { u32 slot; u32 fd; u32 how; };
BPF_TABLE("hash", struct served_key, u64, served, 16384);

static __always_inline int how_it_serves(u32 number)
{
    switch (number) {
    case NR_EPOLL_WAIT:
    case NR_EPOLL_PWAIT:
    case NR_EPOLL_PWAIT2: return BY_EPOLL;
    case NR_ACCEPT:
    case NR_ACCEPT4: return BY_ACCEPT;
    case NR_IO_URING_ENTER: return BY_IO_URING;
    }
    return -1;
}

int on_serving_call(struct bpf_raw_tracepoint_args *ctx)
{
    int how = how_it_serves(ctx->args[1]);
    if (how < 0 || !window()) return 0;
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    if (!slot) return 0;
    struct served_key key = {.slot = slot, .how = how};
    key.fd = syscall_argument((void *)ctx->args[0], SYSCALL_ARG_0);
    u64 zero = 0, *count = served.lookup_or_try_init(&key, &zero);
    if (count)
        add(slot, count, 1);
    else
        count_dropped(DROPPED_SERVED);
    return 0;
}
