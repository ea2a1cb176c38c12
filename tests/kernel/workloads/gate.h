// Holds a workload back until the test lets it go: a byte on standard input, or at once with `now` as first argument.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int open_gate(int argc, char **argv)
{
    char byte;
    if (argc > 1 && !strcmp(argv[1], "now")) return 1;
    puts("ready");
    fflush(stdout);
    return read(0, &byte, 1) == 1;
}
