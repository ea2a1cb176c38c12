// children now|gate COUNT CALLS PAUSE_US: short-lived children one after another, CALLS times getppid each.
#include "gate.h"
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
    if (!open_gate(argc, argv)) return 1;
    for (int left = atoi(argv[2]); left > 0; left--) {
        if (!fork()) {
            for (int i = atoi(argv[3]); i > 0; i--) syscall(SYS_getppid);
            _exit(0);
        }
        wait(NULL);
        if (atoi(argv[4])) usleep(atoi(argv[4]));
    }
    return 0;
}
