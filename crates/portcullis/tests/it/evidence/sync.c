/* Between a program and fsync(2): adds a byte to the file SYNC_COUNTS for each that succeeded, and fails all while there is a file
 * SYNC_FAILS. Loaded with LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int sync_with(const char *name, int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (access(getenv("SYNC_FAILS"), F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    int done = real(file);
    if (done == 0) {
        int counts = open(getenv("SYNC_COUNTS"), O_WRONLY | O_APPEND | O_CLOEXEC);
        if (counts < 0 || write(counts, ".", 1) != 1) {
            abort();
        }
        close(counts);
    }
    return done;
}

int fdatasync(int file) {
    return sync_with("fdatasync", file);
}

int fsync(int file) {
    return sync_with("fsync", file);
}
