// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// On which CPU a message was received, and on which it was read; on which CPU a packet was sent, into which queue.
//
// The kernel keeps in every established TCP socket the CPU that processed its last packet (sk_incoming_cpu_update()
// in tcp_v4_rcv() and tcp_v6_rcv()): one program in the reading thread sees both CPUs, and no second program has to
// remember by socket what the first saw.

struct message_key { u32 slot; u32 rx_cpu; u32 cpu; };
BPF_TABLE("hash", struct message_key, u64, messages, MESSAGE_CELLS);

// tcp_rcv_space_adjust: in the thread that reads, when data has been copied to it.
int on_read(struct bpf_raw_tracepoint_args *ctx)
{
    u32 slot = slot_of_current((void *)bpf_get_current_task_btf());
    if (!slot) return 0;
    struct message_key key = {.slot = slot, .cpu = bpf_get_smp_processor_id()};
    key.rx_cpu = *(u32 *)(TYPED_ARGUMENT(ctx, 0) + SKC_INCOMING_CPU);
    u64 zero = 0, *count = messages.lookup(&key);
    if (!count) {
        messages.update(&key, &zero);
        count = messages.lookup(&key);
    }
    if (count)
        add(slot, count, 1);
    else
        miss(MISSED_MESSAGE);
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
    if (queues < 2) return 0;
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
        miss(MISSED_SENT);
    return 0;
}
