#include "options.h"

#include "fail.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char HELP[] =
    "usage: lab-server [OPTIONS]\n"
    "A thread-per-core server with configurable faults; every request gets the same response.\n"
    "  --threads N               reactor threads (1)\n"
    "  --processes N             pre-forked workers instead of threads\n"
    "  --cpus LIST|none          CPU of each reactor, such as 0,1 (none)\n"
    "  --listen-order LIST|reversed  order of the listen() calls: the index in the group (0,1,...)\n"
    "  --steer METHOD            none, cbpf, ebpf or incoming-cpu (none)\n"
    "  --backend NAME            epoll or io_uring (epoll)\n"
    "  --epoll-timeout-us N      -1 blocks until an event, 0 does not block, N > 0: microseconds (-1)\n"
    "  --busy-poll-us N          busy-poll for N us before sleeping (0)\n"
    "  --busy-poll-budget N      packets per poll (kernel default)\n"
    "  --prefer                  SO_PREFER_BUSY_POLL: prefer busy polling to softirqs\n"
    "  --quota-timer-us N        one timer thread per reactor, which preempts it every N us; 0: none (0)\n"
    "  --receive read|recv       system call for receiving (recv)\n"
    "  --flush now|batched       send at once, or queue responses until the end of the event-loop iteration (now)\n"
    "  --work-us N               CPU time per request (0)\n"
    "  --udp                     echo datagrams instead of HTTP over TCP\n"
    "  --address A               IPv4 or IPv6 address; :: serves both (127.0.0.1)\n"
    "  --port N                  0: any free port (0)\n"
    "  --listeners N             additional idle listeners in the group (0)\n"
    "  --close-listener I        close the listener with index I on SIGUSR1\n"
    "  --verbose                 print the index and CPU of each reactor to standard error\n"
    "Prints 'ready port=PORT pid=PID' when all reactors listen. SIGTERM ends the server.\n";

enum flag {
    THREADS = 1, PROCESSES, CPUS, LISTEN_ORDER, STEER, BACKEND, EPOLL_TIMEOUT, BUSY_POLL, BUSY_BUDGET, PREFER,
    QUOTA_TIMER, RECEIVE, FLUSH, WORK, UDP, ADDRESS, PORT, LISTENERS, CLOSE_LISTENER, VERBOSE, HELP_FLAG,
};

static const struct option FLAGS[] = {
    {"threads", required_argument, NULL, THREADS},
    {"processes", required_argument, NULL, PROCESSES},
    {"cpus", required_argument, NULL, CPUS},
    {"listen-order", required_argument, NULL, LISTEN_ORDER},
    {"steer", required_argument, NULL, STEER},
    {"backend", required_argument, NULL, BACKEND},
    {"epoll-timeout-us", required_argument, NULL, EPOLL_TIMEOUT},
    {"busy-poll-us", required_argument, NULL, BUSY_POLL},
    {"busy-poll-budget", required_argument, NULL, BUSY_BUDGET},
    {"prefer", no_argument, NULL, PREFER},
    {"quota-timer-us", required_argument, NULL, QUOTA_TIMER},
    {"receive", required_argument, NULL, RECEIVE},
    {"flush", required_argument, NULL, FLUSH},
    {"work-us", required_argument, NULL, WORK},
    {"udp", no_argument, NULL, UDP},
    {"address", required_argument, NULL, ADDRESS},
    {"port", required_argument, NULL, PORT},
    {"listeners", required_argument, NULL, LISTENERS},
    {"close-listener", required_argument, NULL, CLOSE_LISTENER},
    {"verbose", no_argument, NULL, VERBOSE},
    {"help", no_argument, NULL, HELP_FLAG},
    {0},
};

static const char *const STEERS[] = {"none", "cbpf", "ebpf", "incoming-cpu", NULL};
static const char *const BACKENDS[] = {"epoll", "io_uring", NULL};
static const char *const RECEIVES[] = {"recv", "read", NULL};
static const char *const FLUSHES[] = {"now", "batched", NULL};

// Lists are parsed last: their length is the number of reactors, which may follow on the command line.
struct late {
    int threads, processes;
    const char *cpus, *listen_order;
};

static long number(const char *flag, const char *text, long low, long high)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high)
        fail_usage("--%s takes a number from %ld to %ld, not '%s'", flag, low, high, text);
    return value;
}

static int word(const char *flag, const char *text, const char *const *words)
{
    for (int i = 0; words[i]; i++)
        if (strcmp(words[i], text) == 0)
            return i;
    fail_usage("unknown value '%s' for --%s", text, flag);
}

static void list(const char *flag, const char *text, int *values, int count, long high)
{
    char *copy = strdup(text), *rest = copy, *item;
    int found = 0;
    while ((item = strsep(&rest, ","))) {
        long value = number(flag, item, 0, high);
        if (found < count)
            values[found] = value;
        found++;
    }
    free(copy);
    if (found != count)
        fail_usage("--%s lists %d values for %d reactors", flag, found, count);
}

static void set_listen_order(struct options *o, const char *text)
{
    bool seen[MAX_REACTORS] = {false};
    bool reversed = text && strcmp(text, "reversed") == 0;
    for (int i = 0; i < o->reactors; i++)
        o->listen_order[i] = reversed ? o->reactors - 1 - i : i;
    if (text && !reversed)
        list("listen-order", text, o->listen_order, o->reactors, o->reactors - 1);
    for (int i = 0; i < o->reactors; i++) {
        if (seen[o->listen_order[i]])
            fail_usage("--listen-order names reactor %d twice", o->listen_order[i]);
        seen[o->listen_order[i]] = true;
    }
}

static void set_cpus(struct options *o, const char *text)
{
    for (int i = 0; i < o->reactors; i++)
        o->cpus[i] = NO_CPU;
    if (text && strcmp(text, "none") != 0)
        list("cpus", text, o->cpus, o->reactors, 65535);
}

static void set_flag(struct options *o, struct late *late, int flag, const char *name, const char *value)
{
    switch (flag) {
    case THREADS: late->threads = number(name, value, 1, MAX_REACTORS); break;
    case PROCESSES: late->processes = number(name, value, 1, MAX_REACTORS); break;
    case CPUS: late->cpus = value; break;
    case LISTEN_ORDER: late->listen_order = value; break;
    case STEER: o->steer = word(name, value, STEERS); break;
    case BACKEND: o->io_uring = word(name, value, BACKENDS); break;
    case EPOLL_TIMEOUT: o->wait_us = number(name, value, WAIT_FOREVER, 1000 * 1000 * 1000); break;
    case BUSY_POLL: o->busy_poll_us = number(name, value, 0, 1000 * 1000); break;
    case BUSY_BUDGET: o->busy_poll_budget = number(name, value, 1, 65535); break;
    case PREFER: o->prefer_busy_poll = true; break;
    // Below 10 us the real-time timer thread would starve its reactor instead of preempting it.
    case QUOTA_TIMER:
        o->quota_timer_us = strcmp(value, "0") == 0 ? 0 : number(name, value, 10, 1000 * 1000 * 1000);
        break;
    case RECEIVE: o->receive_with_read = word(name, value, RECEIVES); break;
    case FLUSH: o->flush_batched = word(name, value, FLUSHES); break;
    // The work on a request cannot be interrupted, and SIGTERM must end the server within 100 ms.
    case WORK: o->work_us = number(name, value, 0, 50 * 1000); break;
    case UDP: o->udp = true; break;
    case ADDRESS: o->address = value; break;
    case PORT: o->port = number(name, value, 0, 65535); break;
    case LISTENERS: o->extra_listeners = number(name, value, 0, MAX_EXTRA_LISTENERS); break;
    case CLOSE_LISTENER:
        o->close_listener = number(name, value, 0, MAX_REACTORS + MAX_EXTRA_LISTENERS);
        break;
    case VERBOSE: o->verbose = true; break;
    case HELP_FLAG: fputs(HELP, stdout); exit(0);
    default: fail_usage("unknown option");
    }
}

static void check(const struct options *o, const struct late *late)
{
    if (late->threads && late->processes)
        fail_usage("--threads and --processes cannot be combined");
    if (o->close_listener >= o->reactors + o->extra_listeners)
        fail_usage("--close-listener %d: the group has indexes 0 to %d", o->close_listener,
                   o->reactors + o->extra_listeners - 1);
    if ((o->prefer_busy_poll || o->busy_poll_budget) && !o->busy_poll_us)
        fail_usage("--prefer and --busy-poll-budget require --busy-poll-us");
    if (o->io_uring && o->busy_poll_budget)
        fail_usage("--busy-poll-budget: io_uring has no budget");
    if (o->udp && o->io_uring)
        fail_usage("--udp requires --backend epoll");
    if (o->udp && o->receive_with_read)
        fail_usage("--udp requires --receive recv: read() does not return the sender");
}

struct options options_parse(int argc, char **argv)
{
    struct options o = {.wait_us = WAIT_FOREVER, .address = "127.0.0.1", .close_listener = NO_LISTENER};
    struct late late = {0};
    int flag, index = 0;
    opterr = 0;
    while ((flag = getopt_long(argc, argv, ":", FLAGS, &index)) != -1) {
        if (flag == ':')
            fail_usage("%s requires a value", argv[optind - 1]);
        if (flag == '?')
            fail_usage("unknown option: %s", argv[optind - 1]);
        set_flag(&o, &late, flag, FLAGS[index].name, optarg);
    }
    if (optind < argc)
        fail_usage("unexpected argument: %s", argv[optind]);
    o.processes = late.processes > 0;
    o.reactors = o.processes ? late.processes : late.threads ? late.threads : 1;
    set_cpus(&o, late.cpus);
    set_listen_order(&o, late.listen_order);
    check(&o, &late);
    return o;
}
