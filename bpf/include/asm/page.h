// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
#define PAGE_SHIFT 12
#define PAGE_SIZE 4096
