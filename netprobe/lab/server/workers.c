#include "workers.h"

#include "fail.h"
#include "reactor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static struct reactor worker;  // of this process, for the signal handler

static void on_signal(int signal)
{
    if (signal != SIGUSR1)
        reactor_ask(&worker, ASK_STOP);
    else if (worker.options->close_listener != NO_LISTENER)
        reactor_ask(&worker, ASK_CLOSE_LISTENER);
}

static void handle_signals(const sigset_t *signals)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
}

static _Noreturn void run_worker(struct group *group, int index, const int *ready, pid_t parent,
                                 const sigset_t *signals)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    close(ready[0]);
    reactor_open(&worker, group, index, ready[1]);
    worker.listener = group->listeners[group_index(group, index)];
    handle_signals(signals);
    reactor_run(&worker);
    reactor_close(&worker);
    group_close(group);
    exit(0);
}

static void start(struct group *group, pid_t *pids, const int *ready, const sigset_t *signals)
{
    pid_t parent = getpid();
    for (int i = 0; i < group->options->reactors; i++) {
        pids[i] = fork();
        if (pids[i] < 0)
            fail("fork");
        if (pids[i] == 0)
            run_worker(group, i, ready, parent, signals);
    }
}

static bool all_ready(int pipe, int count)
{
    char byte;
    while (count-- > 0)
        if (read(pipe, &byte, 1) != 1)
            return false;
    return true;
}

static void tell(const pid_t *pids, int count, int signal)
{
    for (int i = 0; i < count; i++)
        kill(pids[i], signal);
}

// Whether all workers exited without an error.
static bool reap(const pid_t *pids, int count)
{
    bool fine = true;
    for (int i = 0; i < count; i++) {
        int status;
        if (waitpid(pids[i], &status, 0) < 0)
            fail("waitpid");
        fine = fine && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    return fine;
}

static void close_listener(struct group *group, const pid_t *pids)
{
    if (group->options->close_listener == NO_LISTENER)
        return;
    group_close_listener(group, group->options->close_listener);
    tell(pids, group->options->reactors, SIGUSR1);
}

void workers_run(struct group *group, const sigset_t *signals)
{
    static pid_t pids[MAX_REACTORS];
    int count = group->options->reactors, ready[2], signal;
    // A worker that is stopped by a tracer has not exited.
    struct sigaction ended = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
    sigaction(SIGCHLD, &ended, NULL);
    for (int i = 0; i < count; i++)
        group_join(group, group->options->listen_order[i]);
    group_add_extra(group);
    if (pipe(ready))
        fail("pipe");
    start(group, pids, ready, signals);
    close(ready[1]);
    bool serving = all_ready(ready[0], count);
    close(ready[0]);
    if (serving)
        group_say_ready(group);
    while (serving && sigwait(signals, &signal) == 0 && signal == SIGUSR1)
        close_listener(group, pids);
    tell(pids, count, SIGTERM);
    if (!reap(pids, count) || !serving) {
        fputs("lab-server: a worker ended unexpectedly\n", stderr);
        exit(1);
    }
}
