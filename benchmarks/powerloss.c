/* Writes down what a process does to the files of one folder, so that a loss of power can be played.

   LD_PRELOADed into the bot.  Every write, truncation, sync, creation and removal of a file in the
   folder $POWERLOSS_FOLDER is appended to the file $POWERLOSS_JOURNAL with its bytes, in the order
   in which they happened; benchmarks/crash_power.py says what a disk may have of it.

   If $POWERLOSS_ENDS_AT is n, the process is killed just before its n-th write or sync.

   A record: what it is (1 byte), inode (8), offset or size (8), length (4), then so many bytes.
     C name   created       X name  opened, and was there     U name  removed
     R a\0b   renamed       W data  written                   T       truncated
     S        synced        D       the folder itself was synced
*/

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 65536

static const char *folder;
static size_t folder_length;
static int journal = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long left = -1; /* writes and syncs until the process is killed; negative: it is not */
static uint64_t inode_of[FDS]; /* 0: none of ours; 1: the folder itself */

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("POWERLOSS_JOURNAL");
    folder = getenv("POWERLOSS_FOLDER");
    if (!folder || !file) return;
    folder_length = strlen(folder);
    if (getenv("POWERLOSS_ENDS_AT")) left = atol(getenv("POWERLOSS_ENDS_AT"));
    journal = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(char what, uint64_t inode, uint64_t at, const void *data, uint32_t length) {
    char head[21];
    head[0] = what;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &at, 8);
    memcpy(head + 17, &length, 4);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, length}};
    int kept = errno;
    syscall(SYS_writev, journal, parts, 2);
    errno = kept;
}

/* Called under the lock, before each write or sync of a file of ours. */
static void go_on(void) {
    if (left >= 0 && left-- == 0) kill(getpid(), SIGKILL);
}

/* The name inside the folder; "" for the folder itself, NULL for anything else. */
static const char *inside(const char *path) {
    if (journal < 0 || !path || strncmp(path, folder, folder_length)) return NULL;
    if (!path[folder_length]) return "";
    return path[folder_length] == '/' ? path + folder_length + 1 : NULL;
}

static uint64_t ours(int fd) { return fd >= 0 && fd < FDS ? inode_of[fd] : 0; }

static int opened(int at, const char *path, int flags, mode_t mode) {
    const char *name = inside(path);
    if (!name) return syscall(SYS_openat, at, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat about;
    int was_there = fstatat(at, path, &about, 0) == 0;
    int fd = syscall(SYS_openat, at, path, flags, mode);
    if (fd >= 0 && fd < FDS && fstat(fd, &about) == 0) {
        if (S_ISDIR(about.st_mode)) {
            inode_of[fd] = !*name;
        } else {
            inode_of[fd] = about.st_ino;
            note(was_there ? 'X' : 'C', about.st_ino, 0, name, strlen(name));
            if (was_there && (flags & O_TRUNC)) note('T', about.st_ino, 0, NULL, 0);
        }
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

static mode_t mode_in(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(NAME)                                   \
    int NAME(const char *path, int flags, ...) {     \
        va_list rest;                                \
        va_start(rest, flags);                       \
        mode_t mode = mode_in(flags, rest);          \
        va_end(rest);                                \
        return opened(AT_FDCWD, path, flags, mode);  \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                     \
    int NAME(int at, const char *path, int flags, ...) { \
        va_list rest;                                    \
        va_start(rest, flags);                           \
        mode_t mode = mode_in(flags, rest);              \
        va_end(rest);                                    \
        return opened(at, path, flags, mode);            \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    if (fd >= 0 && fd < FDS) inode_of[fd] = 0;
    return syscall(SYS_close, fd);
}

static ssize_t written(int fd, const void *data, size_t length, off64_t at) {
    pthread_mutex_lock(&lock);
    go_on();
    ssize_t done = syscall(SYS_pwrite64, fd, data, length, at);
    if (done > 0) note('W', ours(fd), at, data, done);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t at) {
    return ours(fd) > 1 ? written(fd, data, length, at)
                        : syscall(SYS_pwrite64, fd, data, length, at);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t at) {
    return ours(fd) > 1 ? written(fd, data, length, at)
                        : syscall(SYS_pwrite64, fd, data, length, at);
}

ssize_t write(int fd, const void *data, size_t length) {
    if (ours(fd) <= 1) return syscall(SYS_write, fd, data, length);
    pthread_mutex_lock(&lock);
    go_on();
    off64_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = syscall(SYS_write, fd, data, length);
    if (done > 0) note('W', ours(fd), at, data, done);
    pthread_mutex_unlock(&lock);
    return done;
}

static int truncated(int fd, off64_t size) {
    pthread_mutex_lock(&lock);
    int failed = syscall(SYS_ftruncate, fd, size);
    if (!failed && ours(fd) > 1) note('T', ours(fd), size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return failed;
}

int ftruncate(int fd, off_t size) { return truncated(fd, size); }
int ftruncate64(int fd, off64_t size) { return truncated(fd, size); }

/* Noted once it is done: if the process dies in between, nobody was told that it is. */
static int synced(int fd, long how) {
    pthread_mutex_lock(&lock);
    if (ours(fd)) go_on();
    int failed = syscall(how, fd);
    if (!failed && ours(fd)) note(ours(fd) == 1 ? 'D' : 'S', ours(fd), 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return failed;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int removed(int at, const char *path, int flags) {
    const char *name = inside(path);
    pthread_mutex_lock(&lock);
    int failed = syscall(SYS_unlinkat, at, path, flags);
    if (!failed && name) note('U', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    return failed;
}

int unlink(const char *path) { return removed(AT_FDCWD, path, 0); }
int unlinkat(int at, const char *path, int flags) { return removed(at, path, flags); }

int rename(const char *from, const char *to) {
    const char *old = inside(from), *new = inside(to);
    pthread_mutex_lock(&lock);
    int failed = syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (!failed && old && new) {
        char both[8192];
        size_t first = strlen(old) + 1, second = strlen(new);
        if (first + second <= sizeof both) {
            memcpy(both, old, first);
            memcpy(both + first, new, second);
            note('R', 0, 0, both, first + second);
        }
    }
    pthread_mutex_unlock(&lock);
    return failed;
}
