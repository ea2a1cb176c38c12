// Exits after an error: status 1 if a call fails, 2 for wrong options.
#pragma once

_Noreturn void fail(const char *call);                       // names the call and errno
_Noreturn void fail_with(const char *call, int error);       // for calls that return their error
_Noreturn void fail_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn_errno(const char *what, int error);
