/* A process that falls asleep slowly: poll() and epoll begin half a second late, or at a signal.

     server -> epoll_wait() -> this library, preloaded: nanosleep() -> libc -> kernel
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <time.h>
#define LATE(name, parameters, arguments)                                        \
    int name parameters {                                                        \
        int (*next) parameters = (int (*) parameters)dlsym(RTLD_NEXT, #name);    \
        struct timespec half_a_second = {0, 500000000};                          \
        if (timeout) nanosleep(&half_a_second, 0);                               \
        return next arguments;                                                   \
    }
LATE(poll, (void *fds, unsigned long n, int timeout), (fds, n, timeout))
LATE(epoll_wait, (int fd, void *events, int n, int timeout), (fd, events, n, timeout))
LATE(epoll_pwait, (int fd, void *events, int n, int timeout, const sigset_t *signals),
     (fd, events, n, timeout, signals))
