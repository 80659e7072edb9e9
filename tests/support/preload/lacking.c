/* A kernel without some features: system calls fail as the variable KERNEL_LACKS lists them.

     server -> setsockopt(), prctl(), ... -> this library, preloaded -> libc -> kernel
                                                  |
                                     fails where a rule matches
*/
#include <sys/resource.h> /* first: with _GNU_SOURCE its setrlimit() takes an enum */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

/* KERNEL_LACKS: "call a b errno;..."; -1 stands for any a or b. */
static int lacks(const char *call, long a, long b) {
    const char *rule = getenv("KERNEL_LACKS");
    char name[32];
    long want_a, want_b;
    int code;
    while (rule && sscanf(rule, "%31s %ld %ld %d", name, &want_a, &want_b, &code) == 4) {
        if (!strcmp(name, call) && (want_a == -1 || want_a == a) && (want_b == -1 || want_b == b)) {
            errno = code;
            return 1;
        }
        rule = strchr(rule, ';');
        rule = rule ? rule + 1 : 0;
    }
    return 0;
}

static int family(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &size) ? -2 : address.ss_family;
}

#define NEXT(type, name, ...) ((type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

int setsockopt(int fd, int level, int name, const void *value, socklen_t size) {
    if (lacks("setsockopt", level, name)) return -1;
    return NEXT(int, setsockopt, int, int, int, const void *, socklen_t)
        (fd, level, name, value, size);
}
int getsockopt(int fd, int level, int name, void *value, socklen_t *size) {
    if (lacks("getsockopt", level, name)) return -1;
    return NEXT(int, getsockopt, int, int, int, void *, socklen_t *)(fd, level, name, value, size);
}
int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    if (lacks("ioctl", (long)request, 0)) return -1;
    return NEXT(int, ioctl, int, unsigned long, ...)(fd, request, argument);
}
int prctl(int option, ...) {
    va_list rest;
    va_start(rest, option);
    unsigned long a = va_arg(rest, unsigned long), b = va_arg(rest, unsigned long),
                  c = va_arg(rest, unsigned long), d = va_arg(rest, unsigned long);
    va_end(rest);
    if (lacks("prctl", option, 0)) return -1;
    return NEXT(int, prctl, int, ...)(option, a, b, c, d);
}
int memfd_create(const char *name, unsigned flags) {
    if (lacks("memfd_create", 0, 0)) return -1;
    return NEXT(int, memfd_create, const char *, unsigned)(name, flags);
}
int pipe2(int fds[2], int flags) {
    if (lacks("pipe2", 0, 0)) return -1;
    return NEXT(int, pipe2, int *, int)(fds, flags);
}
int socketpair(int domain, int type, int protocol, int fds[2]) {
    if (lacks("socketpair", domain, 0)) return -1;
    return NEXT(int, socketpair, int, int, int, int *)(domain, type, protocol, fds);
}
int epoll_create1(int flags) {
    if (lacks("epoll_create", 0, 0)) return -1;
    return NEXT(int, epoll_create1, int)(flags);
}
int socket(int domain, int type, int protocol) {
    if (lacks("socket", domain, 0)) return -1;
    return NEXT(int, socket, int, int, int)(domain, type, protocol);
}
int setrlimit(int resource, const struct rlimit *limit) {
    if (lacks("setrlimit", resource, 0)) return -1;
    return NEXT(int, setrlimit, int, const struct rlimit *)(resource, limit);
}
ssize_t send(int fd, const void *data, size_t size, int flags) {
    if (lacks("send", family(fd), 0)) return -1;
    return NEXT(ssize_t, send, int, const void *, size_t, int)(fd, data, size, flags);
}
