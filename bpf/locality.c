// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Messages by receiving CPU and reading CPU; packets by sending CPU and TX queue.
//
// Every established TCP socket has the CPU that processed its last packet (sk_incoming_cpu_update() in tcp_v4_rcv() and
// tcp_v6_rcv()): one program in the reading thread sees both CPUs, and no state per socket is needed.

struct message_key { u32 slot; u32 rx_cpu; u32 cpu; };
struct message_count { u64 messages, accepted, same_host; };
BPF_TABLE("hash", struct message_key, struct message_count, messages, MESSAGE_CELLS);
// A bit for each TCP port with a listener, in any network namespace. A connection with such a local port was accepted:
// its messages are requests, unlike those of the connections of a proxy to its backends.
BPF_F_TABLE("array", u32, u64, listening, 1024, MMAPABLE);

static __always_inline bool was_accepted(void *sock)
{
    u32 port = *(u16 *)(sock + SKC_NUM), word = port >> 6;
    u64 *bits = listening.lookup(&word);
    return bits && (*bits >> (port & 63)) & 1;
}

// Whether both endpoints of a connection are on this host: both addresses are the same, or one is in 127.0.0.0/8. Its
// packets then go over loopback, whatever the address is.
static __always_inline bool is_same_host(void *sock)
{
#ifdef SKC_V6_DADDR
    if (*(u16 *)(sock + SKC_FAMILY) == AF_INET6) {
        u64 remote[2], own[2];
        bpf_probe_read_kernel(remote, sizeof remote, sock + SKC_V6_DADDR);
        bpf_probe_read_kernel(own, sizeof own, sock + SKC_V6_RCV_SADDR);
        return remote[0] == own[0] && remote[1] == own[1];
    }
#endif
    u32 remote = *(u32 *)(sock + SKC_DADDR), own = *(u32 *)(sock + SKC_RCV_SADDR);
    return remote == own || bpf_ntohl(remote) >> 24 == 127;
}

// inet_sock_set_state: listeners that appear after user space has read the existing ones.
int on_listen(struct bpf_raw_tracepoint_args *ctx)
{
    if (ctx->args[2] != TCP_LISTEN) return 0;
    void *sock = TYPED_ARGUMENT(ctx, 0);
    u32 port = *(u16 *)(sock + SKC_NUM), word = port >> 6;
    u64 *bits = listening.lookup(&word);
    if (bits) __sync_fetch_and_or(bits, 1ULL << (port & 63));
    return 0;
}

// tcp_rcv_space_adjust: in the thread that reads, when data has been copied to it.
int on_read(struct bpf_raw_tracepoint_args *ctx)
{
    if (!window()) return 0;
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    if (!slot) return 0;
    struct message_key key = {.slot = slot, .cpu = bpf_get_smp_processor_id()};
    void *sock = TYPED_ARGUMENT(ctx, 0);
    key.rx_cpu = *(u32 *)(sock + SKC_INCOMING_CPU);
    struct message_count *count = messages.lookup(&key);
    if (!count) {
        struct message_count none = {};
        messages.update(&key, &none);
        count = messages.lookup(&key);
    }
    if (!count) {
        count_dropped(DROPPED_MESSAGE);
        return 0;
    }
    add(slot, &count->messages, 1);
    if (was_accepted(sock)) add(slot, &count->accepted, 1);
    if (is_same_host(sock)) add(slot, &count->same_host, 1);
    return 0;
}

struct sent_key { u32 slot; u32 device; u32 queue; u32 cpu; };
struct sent { u64 packets; u64 queues; char device[16]; };
BPF_TABLE("hash", struct sent_key, struct sent, sent_packets, SENT_CELLS);

// net_dev_start_xmit: only packets that leave in the context of a traced thread, on devices with a choice of queues.
int on_send(struct bpf_raw_tracepoint_args *ctx)
{
    void *skb = TYPED_ARGUMENT(ctx, 0), *device = TYPED_ARGUMENT(ctx, 1);
    u32 queues = *(u32 *)(device + DEVICE_TX_QUEUES);
    if (queues < 2 || !window()) return 0;
    void *task = (void *)bpf_get_current_task_btf();
    u32 slot = slot_of_current(task);
    if (!slot) return 0;
    // A softirq that interrupts the thread may send for others; at least those of other namespaces are not its own.
    void *namespaces = *(void **)(task + TASK_NSPROXY);
    if (!namespaces || *(u64 *)(namespaces + NSPROXY_NET) != *(u64 *)(device + DEVICE_NET)) return 0;
    struct sent_key key = {.slot = slot, .cpu = bpf_get_smp_processor_id()};
    key.device = *(u32 *)(device + DEVICE_IFINDEX);
    key.queue = *(u16 *)(skb + SKB_QUEUE_MAPPING);
    struct sent *s = sent_packets.lookup(&key);
    if (!s) {
        struct sent first = {.queues = queues};
        bpf_probe_read_kernel(first.device, sizeof first.device, device + DEVICE_NAME);
        sent_packets.update(&key, &first);
        s = sent_packets.lookup(&key);
    }
    if (s)
        add(slot, &s->packets, 1);
    else
        count_dropped(DROPPED_SENT);
    return 0;
}
