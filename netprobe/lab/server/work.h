// Spends CPU time without a system call that a tracer would record.
#pragma once

void work(unsigned us);
