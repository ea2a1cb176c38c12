// Steering: the listener of a SO_REUSEPORT group that receives a new connection.
#pragma once

#include "options.h"

void steer_listener(enum steer steer, int listener, int cpu);  // before it listens
void steer_group(enum steer steer, int member);                // once, when all reactors have joined
