// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// An iterator over the sockets of a network namespace reads the SO_REUSEPORT groups of running servers and the
// busy-poll parameters of established connections; programs record the order in which the threads of a new server
// join their groups. No descriptor is duplicated or opened, so there is no effect on the server.
//
// sock_reuseport.socks[] has the sockets of a group in the order in which they joined; a steering program returns an
// index into it (net/core/sock_reuseport.c).

#define TCP_ESTABLISHED 1
#define TCP_LISTEN 10
#define RECORD_MEMBER 1
#define RECORD_ORDER 2
#define RECORD_PROGRAM 3
#define RECORD_CONNECTION 4
#define CHUNK 32
#define CHUNKS 512
#define FILTER_LENGTH 24

struct member_record {
    u32 kind, udp;
    u64 sock, group, program, inode;
    u8 address[16];
    s32 incoming_cpu;
    u32 size;
    u16 family, port;
    u32 device, ipv6_only;
};

// socks[] from an index that is a multiple of CHUNK on.
struct order_record { u32 kind, first; u64 group; u64 socks[CHUNK]; };

struct filter { u16 code; u8 jt, jf; u32 k; };
struct program_record {
    u32 kind, type;
    u64 program;
    u32 id, length;  // of the classic program; 0 = eBPF
    char name[16];
    struct filter filter[FILTER_LENGTH];
};

// Both are too large for the stack.
BPF_PERCPU_ARRAY(order_scratch, struct order_record, 1);
BPF_PERCPU_ARRAY(program_scratch, struct program_record, 1);

struct connection_record {
    u32 kind, napi_id;
    u64 inode;
    u32 busy_poll_us, budget, prefer, port;
};

_Static_assert(sizeof(struct member_record) == MEMBER_RECORD_SIZE, "member_record differs from probes/sockets.py");
_Static_assert(sizeof(struct order_record) == ORDER_RECORD_SIZE, "order_record differs from probes/sockets.py");
_Static_assert(sizeof(struct program_record) == PROGRAM_RECORD_SIZE, "program_record differs from probes/sockets.py");
_Static_assert(
    sizeof(struct connection_record) == CONNECTION_RECORD_SIZE, "connection_record differs from probes/sockets.py"
);

struct bpf_iter__tcp { struct bpf_iter_meta *meta; void *sk_common; u32 uid; };
struct bpf_iter__udp { struct bpf_iter_meta *meta; void *udp_sk; u32 uid; };

static __always_inline u16 read_u16(void *address)
{
    u16 value = 0;
    bpf_probe_read_kernel(&value, sizeof value, address);
    return value;
}

static __always_inline void write_program(struct seq_file *seq, void *program)
{
    u32 zero = 0;
    struct program_record *r = program_scratch.lookup(&zero);
    if (!r) return;
    void *aux = read_pointer(program + PROG_AUX), *classic = read_pointer(program + PROG_ORIG_PROG);
    r->kind = RECORD_PROGRAM;
    r->program = (u64)program;
    r->type = read_u32(program + PROG_TYPE);
    r->id = read_u32(aux + PROG_AUX_ID);
    bpf_probe_read_kernel(r->name, sizeof r->name, aux + PROG_AUX_NAME);
    r->length = classic ? read_u16(classic + FPROG_LEN) : 0;
    if (classic) bpf_probe_read_kernel(r->filter, sizeof r->filter, read_pointer(classic + FPROG_FILTER));
    bpf_seq_write(seq, r, sizeof *r);
}

// The first member of a chunk of socks[] writes the chunk: records have a fixed size, and no search is needed.
static __always_inline void write_order(struct seq_file *seq, void *sock, void *group, u32 size)
{
    u32 zero = 0;
    struct order_record *r = order_scratch.lookup(&zero);
    if (!r) return;
    volatile u32 *first = &r->first;
    *first = CHUNKS * CHUNK;
    for (u32 chunk = 0; chunk < CHUNKS; chunk++) {
        if (chunk * CHUNK >= size) return;
        if (read_pointer(group + REUSEPORT_SOCKS + (u64)chunk * CHUNK * 8) != sock) continue;
        *first = chunk * CHUNK;
        break;
    }
    // Read from memory: the verifier then follows the rest of the program once, not for each chunk.
    u32 index = *first;
    if (index >= CHUNKS * CHUNK) return;
    r->kind = RECORD_ORDER;
    r->group = (u64)group;
    bpf_probe_read_kernel(r->socks, sizeof r->socks, group + REUSEPORT_SOCKS + (u64)index * 8);
    bpf_seq_write(seq, r, sizeof *r);
    void *program = read_pointer(group + REUSEPORT_PROG);
    if (index == 0 && program) write_program(seq, program);
}

static __always_inline u64 inode_of(void *sock)
{
    u64 inode = 0;
    void *socket = read_pointer(sock + SOCK_SOCKET);
    if (socket) bpf_probe_read_kernel(&inode, sizeof inode, socket + SOCKET_TO_INODE);
    return inode;
}

#ifdef CONNECTIONS
static __always_inline void write_connection(struct seq_file *seq, void *sock)
{
    struct connection_record r = {.kind = RECORD_CONNECTION, .inode = inode_of(sock)};
    if (!r.inode) return;
    r.napi_id = read_u32(sock + SOCK_NAPI_ID);
    r.busy_poll_us = read_u32(sock + SOCK_LL_USEC);
    r.budget = read_u16(sock + SOCK_BUSY_POLL_BUDGET);
    r.prefer = read_u16(sock + SOCK_PREFER_BUSY_POLL) & 0xff;
    r.port = read_u16(sock + SKC_NUM);
    bpf_seq_write(seq, &r, sizeof r);
}
#endif

static __always_inline void write_member(struct seq_file *seq, void *sock, u32 udp)
{
    struct member_record r = {.kind = RECORD_MEMBER, .udp = udp, .sock = (u64)sock};
    void *group = read_pointer(sock + SOCK_REUSEPORT_CB);
    if (!group) return;
    r.group = (u64)group;
    r.program = (u64)read_pointer(group + REUSEPORT_PROG);
    r.size = read_u16(group + REUSEPORT_NUM_SOCKS);
    r.family = read_u16(sock + SKC_FAMILY);
    r.port = read_u16(sock + SKC_NUM);
    r.device = read_u32(sock + SKC_BOUND_DEV_IF);
    r.incoming_cpu = read_u32(sock + SKC_INCOMING_CPU);
    // A bit of the byte behind skc_state and skc_reuse (struct sock_common).
    r.ipv6_only = read_u16(sock + SKC_STATE) >> 8 >> 5 & 1;
    if (r.family == 10)
        bpf_probe_read_kernel(r.address, 16, sock + SKC_V6_RCV_SADDR);
    else
        bpf_probe_read_kernel(r.address, 4, sock + SKC_RCV_SADDR);
    r.inode = inode_of(sock);
    bpf_seq_write(seq, &r, sizeof r);
    write_order(seq, sock, group, r.size);
}

BPF_ITER(tcp)
{
    void *common = ctx->sk_common;
    if (!common) return 0;
    u8 state = *(volatile u8 *)(common + SKC_STATE);
    if (state == TCP_LISTEN) write_member(ctx->meta->seq, common, 0);
#ifdef CONNECTIONS
    if (state == TCP_ESTABLISHED) write_connection(ctx->meta->seq, common);
#endif
    return 0;
}

BPF_ITER(udp)
{
    void *sock = ctx->udp_sk;
    if (sock) write_member(ctx->meta->seq, sock, 1);
    return 0;
}

// ---- Order in which listeners join: three attach mechanisms, of which the engine uses the first that attaches. ----

struct joining { u64 ns; u32 tid, cpu; char comm[16]; };
BPF_TABLE("hash", u64, struct joining, joining, 8192);

static __always_inline int record_joining(u64 sock)
{
    void *task = (void *)bpf_get_current_task_btf();
    if (!slot_of_current(task)) return 0;
    struct joining j = {.ns = bpf_ktime_get_ns(), .cpu = bpf_get_smp_processor_id()};
    j.tid = user_number(task);
    bpf_get_current_comm(j.comm, sizeof j.comm);
    if (joining.update(&sock, &j)) count_dropped(DROPPED_JOINING);
    return 0;
}

// At function exit, since a join may fail: int reuseport_alloc(sk, bind_inany) creates a group with its first member
// (or none, when a program is attached before the group exists), int reuseport_add_sock(sk, sk2, bind_inany)
// adds sk to the group of sk2.
int on_alloc_exit(struct bpf_raw_tracepoint_args *ctx)
{
    return (s32)ctx->args[2] ? 0 : record_joining(ctx->args[0]);
}

int on_add_sock_exit(struct bpf_raw_tracepoint_args *ctx)
{
    return (s32)ctx->args[3] ? 0 : record_joining(ctx->args[0]);
}

// A return probe does not have the arguments.
BPF_TABLE("hash", u32, u64, joining_now, 1024);

int on_join_enter(struct pt_regs *ctx)
{
    u32 tid = bpf_get_current_pid_tgid();
    u64 sock = PT_REGS_PARM1(ctx);
    joining_now.update(&tid, &sock);
    return 0;
}

int on_join_return(struct pt_regs *ctx)
{
    u32 tid = bpf_get_current_pid_tgid();
    u64 *sock = joining_now.lookup(&tid);
    if (!sock) return 0;
    if ((s32)PT_REGS_RC(ctx) == 0) record_joining(*sock);
    joining_now.delete(&tid);
    return 0;
}

// The state change to LISTEN: in the listening thread, just before a TCP socket joins.
int on_set_state(struct bpf_raw_tracepoint_args *ctx)
{
    return (u32)ctx->args[2] == TCP_LISTEN ? record_joining(ctx->args[0]) : 0;
}
