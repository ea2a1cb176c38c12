// Pre-forked workers, as nginx has them: each inherits every listener and serves its own.
#pragma once

#include "group.h"

#include <signal.h>

void workers_run(struct group *group, const sigset_t *signals);
