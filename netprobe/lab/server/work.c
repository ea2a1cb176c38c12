#include "work.h"

#include <stdint.h>
#include <time.h>

// Two readings of the clock are about 50 ns apart. A much longer gap means that another thread, an interrupt or
// another virtual machine had the CPU: that time is not counted as work.
#define INTERRUPTED_NS 5000

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

void work(unsigned us)
{
    uint64_t left = us * 1000ull;
    for (uint64_t last = now_ns(), now; left; last = now) {
        now = now_ns();
        uint64_t step = now - last;
        if (step < INTERRUPTED_NS)
            left -= step < left ? step : left;
    }
}
