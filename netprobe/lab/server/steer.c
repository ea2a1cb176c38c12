#include "steer.h"

#include "fail.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void attach_cbpf(int member)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (__u32)(SKF_AD_OFF + SKF_AD_CPU)},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {.len = 2, .filter = code};
    if (setsockopt(member, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program))
        fail("setsockopt SO_ATTACH_REUSEPORT_CBPF");
}

static int load_cpu_program(void)
{
    struct bpf_insn code[] = {
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_get_smp_processor_id},
        {.code = BPF_JMP | BPF_EXIT},
    };
    // A socket filter returns the index itself; BPF_PROG_TYPE_SK_REUSEPORT would need a map of sockets.
    union bpf_attr attributes = {
        .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
        .insns = (__u64)(uintptr_t)code,
        .insn_cnt = 2,
        .license = (__u64)(uintptr_t)"GPL",
    };
    int program = syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof attributes);
    if (program < 0)
        fail("bpf BPF_PROG_LOAD");
    return program;
}

static void attach_ebpf(int member)
{
    int program = load_cpu_program();
    if (setsockopt(member, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program, sizeof program))
        fail("setsockopt SO_ATTACH_REUSEPORT_EBPF");
    close(program);
}

void steer_listener(enum steer steer, int listener, int cpu)
{
    if (steer == STEER_INCOMING_CPU && setsockopt(listener, SOL_SOCKET, SO_INCOMING_CPU, &cpu, sizeof cpu))
        fail("setsockopt SO_INCOMING_CPU");
}

void steer_group(enum steer steer, int member)
{
    if (steer == STEER_CBPF)
        attach_cbpf(member);
    if (steer == STEER_EBPF)
        attach_ebpf(member);
}
