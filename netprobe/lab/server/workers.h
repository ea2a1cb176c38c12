// Pre-forked workers as in nginx: each inherits all listeners and serves one of them.
#pragma once

#include "group.h"

#include <signal.h>

void workers_run(struct group *group, const sigset_t *signals);
