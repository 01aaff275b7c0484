/* fetcher PATH TEXT: opens PATH by libredox, writes TEXT, and copies what comes to its output. */
#include <string.h>
#include <unistd.h>

#include "redox.h"

int main(int argc, char **argv)
{
    static char bytes[65536];
    if (argc != 3)
        return 2;
    size_t fd = redox_open_v1(argv[1], strlen(argv[1]), REDOX_O_RDWR, 0);
    if (redox_is_error(fd))
        return redox_errno(fd);
    if (redox_is_error(redox_write_v1(fd, argv[2], strlen(argv[2]))))
        return 3;
    for (;;) {
        size_t count = redox_read_v1(fd, bytes, sizeof bytes);
        if (redox_is_error(count))
            return 4;
        if (count == 0)
            return 0;
        for (size_t done = 0; done < count;) {
            ssize_t written = write(1, bytes + done, count - done);
            if (written <= 0)
                return 5;
            done += (size_t)written;
        }
    }
}
