// Starts the reactors as threads or as forked workers, reports when they are ready, and stops them.
#include "fail.h"
#include "http.h"
#include "reactor.h"
#include "workers.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct threads {
    struct reactor reactors[MAX_REACTORS];
    pthread_t ids[MAX_REACTORS];
};

static void *run(void *reactor)
{
    reactor_run(reactor);
    return NULL;
}

static void start(struct threads *threads, struct group *group, int ready)
{
    for (int i = 0; i < group->options->reactors; i++)
        reactor_open(&threads->reactors[i], group, i, ready);
    for (int i = 0; i < group->options->reactors; i++) {
        int error = pthread_create(&threads->ids[i], NULL, run, &threads->reactors[i]);
        if (error)
            fail_with("pthread_create", error);
    }
}

static void stop(struct threads *threads, int count)
{
    for (int i = 0; i < count; i++)
        reactor_ask(&threads->reactors[i], ASK_STOP);
    for (int i = 0; i < count; i++) {
        pthread_join(threads->ids[i], NULL);
        reactor_close(&threads->reactors[i]);
    }
}

static void close_listener(struct threads *threads, struct group *group)
{
    int index = group->options->close_listener;
    if (index == NO_LISTENER)
        return;
    if (index < group->options->reactors)
        reactor_ask(&threads->reactors[group->options->listen_order[index]], ASK_CLOSE_LISTENER);
    else
        group_close_listener(group, index);
}

static void await_ready(int pipe, int count)
{
    char byte;
    while (count-- > 0)
        if (read(pipe, &byte, 1) != 1)
            fail("read");
}

static void run_threads(struct group *group, const sigset_t *signals)
{
    static struct threads threads;
    int ready[2], signal;
    if (pipe(ready))
        fail("pipe");
    start(&threads, group, ready[1]);
    await_ready(ready[0], group->options->reactors);
    group_add_extra(group);
    group_say_ready(group);
    while (sigwait(signals, &signal) == 0 && signal == SIGUSR1)
        close_listener(&threads, group);
    stop(&threads, group->options->reactors);
    close(ready[0]);
    close(ready[1]);
}

static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        fail("getrlimit");
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files))
        fail("setrlimit");
}

int main(int argc, char **argv)
{
    struct options options = options_parse(argc, argv);
    struct group group;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    if (options.processes)
        sigaddset(&signals, SIGCHLD);
    // Threads inherit the mask: only the main thread, which waits for these signals, receives them.
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    raise_file_limit();
    http_prepare();
    group_open(&group, &options);
    if (options.processes)
        workers_run(&group, &signals);
    else
        run_threads(&group, &signals);
    group_close(&group);
    return 0;
}
