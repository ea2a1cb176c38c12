// tree now|gate CALLS_PROGRAM: a family that grows while it is watched. getppid calls: main 101, its child 1,009,
// the grandchild after its exec 503, a new thread 211; then 50 children one after another, 3 each.
#define _GNU_SOURCE
#include "gate.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void call(int times)
{
    while (times-- > 0) syscall(SYS_getppid);
}

static void *thread(void *unused)
{
    pthread_setname_np(pthread_self(), "late-thread");
    call(211);
    return unused;
}

static void child(const char *program)
{
    prctl(PR_SET_NAME, "child");
    call(1009);
    if (!fork()) {
        execl(program, "calls", "now", "110", "503", NULL);
        _exit(127);
    }
    wait(NULL);
    _exit(0);
}

static void short_lived(void)
{
    if (!fork()) {
        prctl(PR_SET_NAME, "short-lived");
        call(3);
        _exit(0);
    }
    wait(NULL);
}

int main(int argc, char **argv)
{
    pthread_t late;
    if (!open_gate(argc, argv)) return 1;
    call(101);
    if (!fork()) child(argv[2]);
    wait(NULL);
    pthread_create(&late, NULL, thread, NULL);
    pthread_join(late, NULL);
    for (int i = 0; i < 50; i++) short_lived();
    return 0;
}
