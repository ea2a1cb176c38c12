#include "http.h"

#include <string.h>

#define REPLIES 64

static char replies[REPLIES * REPLY_LENGTH];

unsigned http_requests(uint8_t *matched, const char *data, size_t length)
{
    static const char END[] = "\r\n\r\n";
    unsigned requests = 0;
    uint8_t seen = *matched;
    for (size_t i = 0; i < length; i++) {
        if (data[i] == END[seen])
            seen++;
        else
            seen = data[i] == '\r';
        if (seen == 4) {
            requests++;
            seen = 0;
        }
    }
    *matched = seen;
    return requests;
}

void http_prepare(void)
{
    for (size_t i = 0; i < REPLIES; i++)
        memcpy(replies + i * REPLY_LENGTH, REPLY, REPLY_LENGTH);
}

const char *http_replies(size_t offset, uint64_t owed, size_t *length)
{
    size_t most = sizeof replies - offset;
    *length = owed < most ? owed : most;
    return replies + offset;
}
