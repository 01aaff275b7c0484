/* Calling at a scheme's socket: HELLO, WELCOME, the memory and the bell. */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CALLS_AT 8 /* daemons that died one after another while they were called */

struct hello {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    uint32_t entries;
    uint32_t reserved2;
    uint64_t arena;
};

struct welcome {
    uint32_t magic;
    uint16_t version;
    uint16_t reserved;
    int32_t error;
};

const char *rings_folder(void)
{
    const char *given = secure_getenv("REDBEAR_RINGS");
    return given && *given ? given : "/run/redbear-host/ring";
}

static int64_t reach(int sock, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int folder = open(rings_folder(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno == ENOENT ? -ENODEV : -errno;
    /* An address holds 107 bytes only, a path may be longer. */
    int len = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder,
                       name);
    int64_t result = 0;
    if (len >= (int)sizeof(address.sun_path))
        result = -ENAMETOOLONG;
    else if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
        result = errno == ENOENT || errno == ECONNREFUSED ? -ENODEV : -errno;
    close(folder);
    return result;
}

/* 1: the daemon died over it. */
static int64_t receive_welcome(int sock, int fds[2])
{
    struct welcome welcome;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec part = {&welcome, sizeof(welcome)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t got;
    do
        got = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return 1;
    if (got < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int count = 0;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), (size_t)count * sizeof(int));
    }
    int64_t result = 0;
    if (got != sizeof(welcome) || welcome.magic != MAGIC || welcome.version != VERSION)
        result = -EPROTO;
    else if (welcome.error)
        result = welcome.error < 0 && welcome.error > -4096 ? welcome.error : -EPROTO;
    else if (count != 2)
        result = -EPROTO;
    if (result)
        for (int i = 0; i < count; i++)
            close(fds[i]);
    return result;
}

static int64_t adopt(struct connection *c, int sock, const int fds[2])
{
    struct stat stat;
    int seals = fcntl(fds[0], F_GET_SEALS);
    int wanted = F_SEAL_SHRINK | F_SEAL_GROW;
    /* Without the seals a daemon could shrink the memory, and kill us by SIGBUS. */
    if (seals < 0 || (seals & wanted) != wanted || fstat(fds[0], &stat) < 0 ||
        stat.st_size != RING_BYTES)
        return -EPROTO;
    void *memory = mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fds[0], 0);
    if (memory == MAP_FAILED)
        return -errno;
    c->memory = memory;
    c->socket = sock;
    c->bell = fds[1];
    return 0;
}

int64_t dial(struct connection *c)
{
    struct hello hello = {.magic = MAGIC, .version = VERSION, .entries = ENTRIES, .arena = ARENA};
    for (int time = 0; time < CALLS_AT; time++) {
        int fds[2];
        int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (sock < 0)
            return -errno;
        int64_t result = reach(sock, c->name);
        if (!result && send(sock, &hello, sizeof(hello), MSG_NOSIGNAL) < 0)
            result = errno == EPIPE || errno == ECONNRESET ? 1 : -errno;
        if (!result)
            result = receive_welcome(sock, fds);
        if (!result) {
            result = adopt(c, sock, fds);
            close(fds[0]);
            if (!result)
                return 0;
            close(fds[1]);
        }
        close(sock);
        if (result < 0)
            return result;
    }
    return -EIO;
}
