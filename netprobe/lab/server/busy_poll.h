// Enables busy polling with the newest interface of the kernel.
#pragma once

#include "options.h"

void busy_poll_epoll(const struct options *options, int epoll, int listener);
void busy_poll_uring(const struct options *options, int ring);
