#include "connections.h"

#include "fail.h"

#include <stdlib.h>
#include <unistd.h>

void connections_open(struct connections *table, uint32_t capacity)
{
    table->all = calloc(capacity, sizeof *table->all);
    table->free = calloc(capacity, sizeof *table->free);
    if (!table->all || !table->free)
        fail("calloc");
    table->capacity = table->free_count = capacity;
    for (uint32_t i = 0; i < capacity; i++) {
        table->all[i].fd = -1;
        table->free[i] = capacity - 1 - i;
    }
}

void connections_close(struct connections *table)
{
    for (uint32_t i = 0; i < table->capacity; i++)
        if (table->all[i].fd >= 0)
            close(table->all[i].fd);
    free(table->all);
    free(table->free);
}

struct connection *connections_add(struct connections *table, int fd)
{
    if (table->free_count == 0)
        return NULL;
    struct connection *connection = &table->all[table->free[--table->free_count]];
    *connection = (struct connection){.fd = fd};
    return connection;
}

void connections_drop(struct connections *table, struct connection *connection)
{
    close(connection->fd);
    connection->fd = -1;
    table->free[table->free_count++] = connection - table->all;
}
