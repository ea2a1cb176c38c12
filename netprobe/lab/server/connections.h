// A reactor's bounded table of TCP connections; all memory is taken at the start.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct connection {
    int fd;             // -1: free
    uint8_t matched;    // bytes of the end of a request seen so far
    bool blocked;       // the client does not read: waiting until it does
    uint16_t offset;    // in the reply: the next byte to send
    uint64_t owed;      // bytes of replies not sent yet
};

struct connections {
    struct connection *all;
    uint32_t *free;
    uint32_t free_count, capacity;
};

void connections_open(struct connections *table, uint32_t capacity);
void connections_close(struct connections *table);
struct connection *connections_add(struct connections *table, int fd);  // NULL: full
void connections_drop(struct connections *table, struct connection *connection);
