/* Preloaded under Python: counts the calls that change the disk below one folder, logs them, and at the
   chosen one kills the process (before it, or in the middle of a write) or lets the disk be full. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OFF, KILL, TEAR, FULL };
enum kind { OTHER, WRITE, REMOVE };
static char root[PATH_MAX];
static size_t root_length;
static long count, target;
static int mode, log_fd = -1;

void shim_arm(const char *folder, int how, long at, int log) {
    strcpy(root, folder);
    root_length = strlen(root);
    mode = how;
    target = at;
    count = 0;
    log_fd = log;
}

static void note(const char *operation, const char *path, const char *second, const void *data, size_t size) {
    char line[3 * PATH_MAX];
    if (log_fd < 0) return;
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\t%zu\n", operation, path, second ? second : "", size);
    syscall(SYS_write, log_fd, line, length);
    if (size) syscall(SYS_write, log_fd, data, size);
}

void shim_mark(const char *text) { note("mark", text, NULL, NULL, 0); }

long shim_count(void) { return count; }

static int inside(const char *path) { return root_length && !strncmp(path, root, root_length); }

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

static void die(void) { kill(getpid(), SIGKILL); pause(); }

/* 1: the call is to fail, and all after it; 2: a write is to be torn */
static int due(enum kind kind) {
    if (mode == OFF || (mode == TEAR && kind != WRITE)) return 0;
    if (++count < target || (count > target && mode != FULL)) return 0;
    if (mode == FULL && kind == REMOVE) return 0; /* that needs no space */
    if (mode == KILL) die();
    if (mode == TEAR) return 2;
    errno = ENOSPC;
    return 1;
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    char path[PATH_MAX];
    if (!path_of(fd, path)) return real(fd, data, size);
    switch (due(WRITE)) {
    case 1: return -1;
    case 2: real(fd, data, size / 2); die();
    }
    ssize_t written = real(fd, data, size);
    if (written > 0) note("write", path, NULL, data, written);
    return written;
}

/* SQLite's */
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    REAL(pwrite64);
    char path[PATH_MAX], text[32];
    if (!path_of(fd, path)) return real(fd, data, size, offset);
    switch (due(WRITE)) {
    case 1: return -1;
    case 2: real(fd, data, size / 2, offset); die();
    }
    ssize_t written = real(fd, data, size, offset);
    snprintf(text, sizeof text, "%ld", (long)offset);
    if (written > 0) note("pwrite", path, text, data, written);
    return written;
}

#define ON_FD(name, arguments, call, label)                                                                   \
    int name arguments {                                                                                      \
        REAL(name);                                                                                           \
        char path[PATH_MAX];                                                                                  \
        if (!path_of(fd, path)) return call;                                                                  \
        if (due(OTHER)) return -1;                                                                            \
        int result = call;                                                                                    \
        if (!result) note(label, path, NULL, NULL, 0);                                                        \
        return result;                                                                                        \
    }
ON_FD(fsync, (int fd), real(fd), "fsync")
ON_FD(fdatasync, (int fd), real(fd), "fsync")
ON_FD(fchmod, (int fd, mode_t bits), real(fd, bits), "chmod")

int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64);
    char path[PATH_MAX], text[32];
    if (!path_of(fd, path)) return real(fd, size);
    snprintf(text, sizeof text, "%ld", (long)size);
    if (due(OTHER)) return -1;
    int result = real(fd, size);
    if (!result) note("truncate", path, text, NULL, 0);
    return result;
}

#define ON_PATH(name, arguments, call, label, second, kind)                                                   \
    int name arguments {                                                                                      \
        REAL(name);                                                                                           \
        if (!inside(path)) return call;                                                                       \
        if (due(kind)) return -1;                                                                             \
        int result = call;                                                                                    \
        if (!result) note(label, path, second, NULL, 0);                                                      \
        return result;                                                                                        \
    }
ON_PATH(rename, (const char *path, const char *to), real(path, to), "rename", to, OTHER)
ON_PATH(unlink, (const char *path), real(path), "unlink", NULL, REMOVE)
ON_PATH(mkdir, (const char *path, mode_t bits), real(path, bits), "mkdir", NULL, OTHER)
ON_PATH(chmod, (const char *path, mode_t bits), real(path, bits), "chmod", NULL, OTHER)

int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list arguments;
    va_start(arguments, flags);
    mode_t bits = va_arg(arguments, mode_t);
    va_end(arguments);
    if (!inside(path) || !(flags & (O_CREAT | O_TRUNC))) return real(path, flags, bits);
    if (due(OTHER)) return -1;
    int fd = real(path, flags, bits);
    if (fd >= 0) note("open", path, flags & O_TRUNC ? "truncate" : "", NULL, 0);
    return fd;
}
