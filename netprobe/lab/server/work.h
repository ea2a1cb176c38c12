// CPU time spent on purpose, without a system call that a tracer would see.
#pragma once

void work(unsigned us);
