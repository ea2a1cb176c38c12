// 13 times the 32-bit getppid, number 64: among the 64-bit calls that number is semget.
#include "gate.h"

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv)) return 1;
    for (int i = 0; i < 13; i++) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(64L) : "memory", "r8", "r9", "r10", "r11");
    }
    return 0;
}
