/* Stands between a program and the C library (LD_PRELOAD), for the files below one directory:
 *
 * - writes down what is done to them, in the order in which it is done, so that the test can make the disk again as a
 *   power cut would have left it at any point;
 * - lets calls fail as a full or broken disk does.
 *
 * ICS_SHIM_DIR    the directory; nothing outside of it is touched
 * ICS_SHIM_TRACE  the file to which the trace is appended
 * ICS_SHIM_FAIL   "CLASS ERRNO FIRST COUNT": of the calls of the class ('w' changes files, 's' makes them durable, 'n'
 *                 changes names), COUNT fail from the FIRST on. The same text, written to a file `shim-control` in the
 *                 directory, takes its place; the trace then says how many calls there were of the class before.
 *
 * A record: operation (1 byte), length of the path (2), offset (8), length of the data (4), path relative to the
 * directory, data. What changes something is written down before it is done, what makes it durable after it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX];
static size_t directory_length;
static int trace = -1;
static char fail_class;
static int fail_errno;
static long fail_first, fail_count, calls;

static ssize_t real_write(int fd, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    return real(fd, data, length);
}

static int real_open(const char *path, int flags, mode_t mode) {
    REAL(int, "open64", const char *, int, ...);
    return real(path, flags, mode);
}

static void arm(const char *text) {
    calls = 0;
    if (sscanf(text, "%c %d %ld %ld", &fail_class, &fail_errno, &fail_first, &fail_count) != 4) fail_class = 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *watched = getenv("ICS_SHIM_DIR"), *path = getenv("ICS_SHIM_TRACE"), *fail = getenv("ICS_SHIM_FAIL");
    if (!watched || !realpath(watched, directory)) return;
    directory_length = strlen(directory);
    if (path) trace = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fail) arm(fail);
}

/* The path relative to the directory; NULL if it lies elsewhere. */
static const char *inside(const char *path) {
    if (!directory_length || strncmp(path, directory, directory_length)) return NULL;
    return path[directory_length] == '/' ? path + directory_length + 1 : path[directory_length] ? NULL : "";
}

static const char *inside_fd(int fd, char *space) {
    char link[64];
    if (!directory_length) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, space, PATH_MAX - 1);
    if (length <= 0) return NULL;
    space[length] = 0;
    return inside(space);
}

static const char *inside_at(int fd, const char *path, char *space) {
    if (path[0] == '/' || fd != AT_FDCWD) return path[0] == '/' ? inside(path) : NULL;
    if (!getcwd(space, PATH_MAX)) return NULL;
    size_t length = strlen(space);
    snprintf(space + length, PATH_MAX - length, "/%s", path);
    return inside(space);
}

static void record(char operation, const char *path, off_t offset, const void *data, size_t length) {
    if (trace < 0) return;
    unsigned short path_length = strlen(path);
    unsigned long long at = offset;
    unsigned data_length = length;
    size_t all = 15 + path_length + length;
    char *bytes = malloc(all);
    bytes[0] = operation;
    memcpy(bytes + 1, &path_length, 2);
    memcpy(bytes + 3, &at, 8);
    memcpy(bytes + 11, &data_length, 4);
    memcpy(bytes + 15, path, path_length);
    if (length) memcpy(bytes + 15 + path_length, data, length);
    if (real_write(trace, bytes, all) != (ssize_t)all) abort();
    free(bytes);
}

/* Whether this call is to fail; sets errno. */
static int fails(char class) {
    if (fail_class != class) return 0;
    long call = ++calls;
    if (call < fail_first || call >= fail_first + fail_count) return 0;
    errno = fail_errno;
    return 1;
}

/* How much of a write to a full disk still fits: half of the first one that fails. */
static size_t fitting(size_t length) {
    if (fail_errno == ENOSPC && calls == fail_first && length > 1) return length / 2;
    return 0;
}

static ssize_t change(int fd, const void *data, size_t length, off_t offset, int positioned) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
    char space[PATH_MAX];
    const char *path = inside_fd(fd, space);
    if (!path) return positioned ? real(fd, data, length, offset) : real_write(fd, data, length);
    size_t path_length = strlen(path);
    if (path_length >= 12 && !strcmp(path + path_length - 12, "shim-control")) {
        char text[128] = {0};
        memcpy(text, data, length < 127 ? length : 127);
        pthread_mutex_lock(&lock);
        record('N', path, calls, NULL, 0);
        arm(text);
        pthread_mutex_unlock(&lock);
        return length;
    }
    pthread_mutex_lock(&lock);
    if (!positioned) {
        int append = fcntl(fd, F_GETFL) & O_APPEND;
        offset = lseek(fd, 0, append ? SEEK_END : SEEK_CUR);
    }
    ssize_t written = -1;
    size_t part = length;
    if (fails('w')) part = fitting(length);
    if (part) {
        record('W', path, offset, data, part);
        written = positioned ? real(fd, data, part, offset) : real_write(fd, data, part);
    } else {
        errno = fail_errno;
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

ssize_t write(int fd, const void *data, size_t length) { return change(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return change(fd, data, length, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return change(fd, data, length, offset, 1); }

static int cut(int fd, off_t length) {
    REAL(int, "ftruncate64", int, off_t);
    char space[PATH_MAX];
    const char *path = inside_fd(fd, space);
    if (!path) return real(fd, length);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails('w')) {
        record('T', path, length, NULL, 0);
        result = real(fd, length);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int ftruncate(int fd, off_t length) { return cut(fd, length); }
int ftruncate64(int fd, off64_t length) { return cut(fd, length); }

static int make_durable(int fd, const char *name) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    char space[PATH_MAX];
    const char *path = inside_fd(fd, space);
    if (!path) return real(fd);
    pthread_mutex_lock(&lock);
    int failed = fails('s');
    int result = failed ? -1 : real(fd);
    int error = errno;
    record(result ? 'F' : 'S', path, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int fsync(int fd) { return make_durable(fd, "fsync"); }
int fdatasync(int fd) { return make_durable(fd, "fdatasync"); }

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    char one[PATH_MAX], two[PATH_MAX];
    const char *old = inside_at(AT_FDCWD, from, one), *new = inside_at(AT_FDCWD, to, two);
    if (!old || !new) return real(from, to);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails('n')) {
        record('R', old, 0, new, strlen(new));
        result = real(from, to);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    char space[PATH_MAX];
    const char *name = inside_at(AT_FDCWD, path, space);
    if (!name || access(path, F_OK)) return real(path);
    pthread_mutex_lock(&lock);
    int result = -1;
    if (!fails('n')) {
        record('U', name, 0, NULL, 0);
        result = real(path);
    }
    int error = errno;
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    char space[PATH_MAX];
    const char *name = inside_at(AT_FDCWD, path, space);
    if (!name) return real(path, mode);
    pthread_mutex_lock(&lock);
    int result = real(path, mode), error = errno;
    if (!result) record('D', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

static int open_file(const char *path, int flags, mode_t mode) {
    char space[PATH_MAX];
    const char *name = flags & (O_CREAT | O_TRUNC) ? inside_at(AT_FDCWD, path, space) : NULL;
    if (!name) return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = access(path, F_OK) != 0;
    int fd = is_new && fails('n') ? -1 : real_open(path, flags, mode), error = errno;
    if (fd >= 0 && is_new) record('C', name, 0, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC) record('T', name, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags, last) mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, last); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_file(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_file(path, flags, mode); }
