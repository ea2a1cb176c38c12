// System calls of the event loop, made without libc: a libc without frame pointers, as on Debian, would truncate the
// stacks of a profile.
#pragma once

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

// As syscall(2): -1 and errno on failure.
static inline long direct_call(long number, long a, long b, long c, long d, long e, long f)
{
#ifdef __x86_64__
    register long fourth __asm__("r10") = d;
    register long fifth __asm__("r8") = e;
    register long sixth __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    if (result < 0 && result >= -4095) {
        errno = (int)-result;
        return -1;
    }
    return result;
#else
    return syscall(number, a, b, c, d, e, f);
#endif
}
