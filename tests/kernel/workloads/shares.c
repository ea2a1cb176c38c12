// shares now|gate SECONDS: three functions take 60, 30 and 10 % of the CPU time. Compiled as C and as C++; with
// RUST, under the names that the Rust compiler would give them.
#include "gate.h"
#include <stdlib.h>
#include <time.h>

#ifdef RUST
#define NAMED(legacy_or_v0) __asm__(legacy_or_v0)
#else
#define NAMED(unused)
#endif

#ifdef __cplusplus
namespace lab {
#endif

volatile unsigned long sink;

static void spin(long ns)
{
    struct timespec begin, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        for (int i = 0; i < 20000; i++) sink = sink * 31 + i;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < ns);
}

#define WORK __attribute__((noinline, noclone, used)) void
#ifndef __cplusplus
WORK sixty(long unit) NAMED("_ZN3lab5sixty17h0123456789abcdefE");
WORK thirty(long unit) NAMED("_RNvCs1234_3lab6thirty");
WORK ten(long unit) NAMED("_RNvCs1234_3lab3ten");
#endif
WORK sixty(long unit) { spin(6 * unit); sink++; }
WORK thirty(long unit) { spin(3 * unit); sink++; }
WORK ten(long unit) { spin(unit); sink++; }

#ifdef __cplusplus
}
using namespace lab;
#endif

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv)) return 1;
    // Rounds of equal length would keep step with the sampling clock, which then meets the same functions each time.
    for (double left = atof(argv[2]) * 1e9; left > 0;) {
        long unit = 500000 + rand() % 1000000;
        sixty(unit);
        thirty(unit);
        ten(unit);
        left -= 10.0 * unit;
    }
    return 0;
}
