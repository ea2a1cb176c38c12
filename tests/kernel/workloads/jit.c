// jit now|gate SECONDS: code that no file holds. Copies a loop into fresh memory, says in /tmp/perf-PID.map what it
// is called, as Java, Node and Python do, and runs it.
#define _GNU_SOURCE
#include "gate.h"
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

// push rbp; mov rbp, rsp; mov eax, 1000000; 1: dec eax; jnz 1b; pop rbp; ret
static const unsigned char loop[] = {0x55, 0x48, 0x89, 0xe5, 0xb8, 0x40, 0x42, 0x0f, 0x00,
                                     0xff, 0xc8, 0x75, 0xfc, 0x5d, 0xc3};

int main(int argc, char **argv)
{
    char path[64];
    if (!open_gate(argc, argv)) return 1;
    void *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) return 2;
    memcpy(code, loop, sizeof loop);
    if (mprotect(code, 4096, PROT_READ | PROT_EXEC)) return 2;
    snprintf(path, sizeof path, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(path, "w");
    if (!map) return 2;
    fprintf(map, "%lx %lx Lwritten;loop\n", (unsigned long)code, sizeof loop);
    fclose(map);
    time_t end = time(NULL) + atoi(argv[2]);
    while (time(NULL) < end) ((void (*)(void))code)();
    return 0;
}
