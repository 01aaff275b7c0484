/* A client: does one thing N times and prints the nanoseconds it took.
 *
 * Usage: load stat|open|read4k|read1m FILE N
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    const char *what = argv[1], *path = argv[2];
    long count = atol(argv[3]);
    size_t size = strcmp(what, "read1m") == 0 ? 1 << 20 : 4096;
    void *buffer = NULL;
    if (posix_memalign(&buffer, 4096, size))
        return 1;
    struct stat st;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &st))
        return 1;
    off_t places = st.st_size / (off_t)size;
    long long began = now();
    for (long i = 0; i < count; i++) {
        if (strcmp(what, "stat") == 0) {
            if (stat(path, &st))
                return 1;
        } else if (strcmp(what, "open") == 0) {
            int own = open(path, O_RDONLY);
            if (own < 0 || read(own, buffer, size) != (ssize_t)size || close(own))
                return 1;
        } else if (pread(fd, buffer, size, (i % places) * (off_t)size) != (ssize_t)size) {
            return 1;
        }
    }
    printf("%lld\n", now() - began);
    return 0;
}
