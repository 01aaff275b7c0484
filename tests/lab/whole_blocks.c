/* What a C program may read and write of a disk: whole blocks.  argv[1]: the disk's path. */

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "redox.h"

enum { RDWR = 0x00030000, SET = 0 };

static char block[4096];

static void show(const char *what, size_t result)
{
    printf("%s %ld\n", what, (long)result);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    size_t fd = redox_open_v1(argv[1], strlen(argv[1]), RDWR, 0);
    if ((long)fd < 0) {
        show("open", fd);
        return 1;
    }
    show("read 512 at 0", redox_read_v1(fd, block, 512));
    show("read 100 at 512", redox_read_v1(fd, block, 100));
    redbear_lseek(fd, 100, SET);
    show("read 512 at 100", redox_read_v1(fd, block, 512));
    show("write 512 at 100", redox_write_v1(fd, block, 512));
    redbear_lseek(fd, 1024, SET);
    show("write 511 at 1024", redox_write_v1(fd, block, 511));
    show("write 1024 at 1024", redox_write_v1(fd, block, 1024));
    return 0;
}
