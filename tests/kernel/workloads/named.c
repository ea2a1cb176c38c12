// named now|gate NAME: 17 getppid calls under a name of the caller's choice.
#include "gate.h"
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(int argc, char **argv)
{
    prctl(PR_SET_NAME, argv[2]);
    if (!open_gate(argc, argv)) return 1;
    for (int i = 0; i < 17; i++) syscall(SYS_getppid);
    return 0;
}
