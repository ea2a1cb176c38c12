// Requests are counted, never parsed; every reply is the same, so what is owed to a client is a number.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define REPLY_LENGTH (sizeof REPLY - 1)

// Number of requests that end in data. `matched` carries a partly seen "\r\n\r\n" to the next read.
unsigned http_requests(uint8_t *matched, const char *data, size_t length);

void http_prepare(void);

// Up to `owed` bytes of back-to-back replies, from byte `offset` of the first one.
const char *http_replies(size_t offset, uint64_t owed, size_t *length);
