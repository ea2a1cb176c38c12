// The TCP connections of a reactor; all memory is allocated at the start.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct connection {
    int fd;             // -1: free
    uint8_t matched;    // bytes of "\r\n\r\n" received so far
    bool blocked;       // the send buffer is full: waiting until it is writable
    uint16_t offset;    // of the next byte to send in the response
    uint64_t owed;      // bytes of responses not sent yet
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
