// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
// BCC compares with versions far in the past only; what a kernel can do is tested, never read from here.
#define LINUX_VERSION_CODE 0x060100
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
