// The parsed command line.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MAX_REACTORS 256
#define MAX_EXTRA_LISTENERS 4096
#define WAIT_FOREVER -1
#define NO_LISTENER -1
#define NO_CPU -1

enum steer { STEER_NONE, STEER_CBPF, STEER_EBPF, STEER_INCOMING_CPU };

struct options {
    int reactors;
    bool processes;                  // reactors are forked workers instead of threads
    int cpus[MAX_REACTORS];          // by reactor; NO_CPU: not pinned
    int listen_order[MAX_REACTORS];  // reactor whose index in the group is i: the i-th to listen
    enum steer steer;
    bool io_uring;
    long wait_us;                    // timeout of the event loop: WAIT_FOREVER, 0 or microseconds
    unsigned busy_poll_us;
    unsigned busy_poll_budget;       // 0: the kernel's default
    bool prefer_busy_poll;
    unsigned quota_timer_us;         // 0: no timer threads
    bool receive_with_read;
    bool flush_batched;
    unsigned work_us;
    bool udp;
    bool verbose;
    const char *address;
    uint16_t port;
    int extra_listeners;
    int close_listener;              // index in the group, or NO_LISTENER
};

// Exits with status 2 after a wrong option, with 0 after --help.
struct options options_parse(int argc, char **argv);
