/* Sends Ethernet frames to QEMU's end of a wire, as fast as that takes them: it waits while the card has
   no room.  blast OWN_SOCKET QEMUS_SOCKET BYTES; runs until it is killed. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BATCH = 64, MOST = 1514 };

static struct sockaddr_un name(const char *path) {
    struct sockaddr_un made = {.sun_family = AF_UNIX};
    strncpy(made.sun_path, path, sizeof made.sun_path - 1);
    return made;
}

int main(int count, char **words) {
    if (count != 4) return 2;
    struct sockaddr_un own = name(words[1]), far = name(words[2]);
    size_t size = strtoul(words[3], NULL, 10);
    static unsigned char frame[MOST];
    if (size < 14 || size > MOST) return 2;
    memset(frame, 0x55, sizeof frame);
    memset(frame, 0xff, 6);                       /* to everybody */
    memcpy(frame + 6, "\x52\x54\0\0\0\1\x88\xb5", 8); /* from ..., of the type for experiments */
    int wire = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (wire < 0 || bind(wire, (struct sockaddr *)&own, sizeof own)) return 1;
    struct iovec piece = {frame, size};
    struct mmsghdr batch[BATCH];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < BATCH; i++)
        batch[i].msg_hdr = (struct msghdr){&far, sizeof far, &piece, 1, NULL, 0, 0};
    for (;;)
        if (sendmmsg(wire, batch, BATCH, 0) < 0) usleep(10000); /* QEMU is not there yet, or gone */
}
