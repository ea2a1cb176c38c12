#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void warn_errno(const char *what, int error)
{
    const char *name = strerrorname_np(error);
    fprintf(stderr, "lab-server: %s: %s (%s)\n", what, strerror(error), name ? name : "unknown error");
}

_Noreturn void fail_with(const char *call, int error)
{
    warn_errno(call, error);
    // No atexit handlers, because other threads may still be running.
    _exit(1);
}

_Noreturn void fail(const char *call)
{
    fail_with(call, errno);
}

_Noreturn void fail_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("lab-server: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\nTry lab-server --help.\n", stderr);
    va_end(arguments);
    _exit(2);
}
