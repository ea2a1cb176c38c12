// Requests are counted, not parsed. Every response is the same, so unsent responses are a number of bytes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#define REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define REPLY_LENGTH (sizeof REPLY - 1)

// Number of requests that end in data. `matched`: bytes of "\r\n\r\n" at the end of the previous data.
unsigned http_requests(uint8_t *matched, const char *data, size_t length);

void http_prepare(void);

// Up to `owed` bytes of consecutive responses, from byte `offset` of the first.
const char *http_replies(size_t offset, uint64_t owed, size_t *length);
