// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// The two options that BCC's own prelude asks about.
#define CONFIG_BPF_SYSCALL 1
#define CONFIG_ARCH_HAS_SYSCALL_WRAPPER 1
