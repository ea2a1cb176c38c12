// Busy polling, by the newest interface that the kernel has.
#pragma once

#include "options.h"

void busy_poll_epoll(const struct options *options, int epoll, int listener);
void busy_poll_uring(const struct options *options, int ring);
