// naps now|gate COUNT MICROSECONDS: sleeps that often, that long.
#include "gate.h"
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv)) return 1;
    for (int left = atoi(argv[2]); left > 0; left--) {
        struct timespec nap = {.tv_nsec = atol(argv[3]) * 1000};
        nanosleep(&nap, NULL);
    }
    return 0;
}
