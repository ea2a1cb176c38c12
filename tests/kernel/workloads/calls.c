// calls now|gate NUMBER COUNT [NUMBER COUNT]…: makes those calls, all arguments zero.
#define _GNU_SOURCE
#include "gate.h"
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv)) return 1;
    for (int i = 2; i + 1 < argc; i += 2)
        for (int n = atoi(argv[i + 1]); n > 0; n--) syscall(atol(argv[i]), 0, 0, 0, 0, 0, 0);
    return 0;
}
