// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// Register layout at a system call's entry, by architecture. A new one adds its own branch here.
#include <linux/types.h>
#if defined(__x86_64__)
struct pt_regs {
    unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#define SYSCALL_NUMBER offsetof(struct pt_regs, orig_ax)
#define SYSCALL_ARG_0 offsetof(struct pt_regs, di)
#define SYSCALL_ARG_1 offsetof(struct pt_regs, si)
#define SYSCALL_ARG_2 offsetof(struct pt_regs, dx)
#define SYSCALL_ARG_3 offsetof(struct pt_regs, r10)
#define SYSCALL_ARG_4 offsetof(struct pt_regs, r8)
#else
#error "netprobe has no register layout for this architecture yet"
#endif
