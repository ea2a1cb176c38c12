// The SO_REUSEPORT group: its listeners (or UDP sockets) in the order in which they joined.
#pragma once

#include "options.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

struct group {
    const struct options *options;
    int *listeners;                   // by index; -1 once closed
    int size;
    struct sockaddr_storage address;  // the port is filled in by the first member
    socklen_t address_length;
    pthread_mutex_t lock;
    pthread_cond_t joined;
};

void group_open(struct group *group, const struct options *options);
void group_close(struct group *group);
void group_say_ready(const struct group *group);
int group_index(const struct group *group, int reactor);

// Waits until `reactor` is the next in the order, joins it and returns its socket.
int group_join(struct group *group, int reactor);
void group_add_extra(struct group *group);
void group_close_listener(struct group *group, int index);
