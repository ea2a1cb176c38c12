// How the server ends when it cannot go on: status 1 when the kernel refuses, 2 on wrong flags.
#pragma once

_Noreturn void fail(const char *call);                       // names the call and errno
_Noreturn void fail_with(const char *call, int error);       // for calls that return their error
_Noreturn void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn_errno(const char *what, int error);
