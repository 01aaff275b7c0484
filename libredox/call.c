/* Redox's call, and with it the passing of descriptors. */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define METADATA_MOST 3

/* Send the descriptors in `payload`; they are moved, unless they are to be cloned. */
static int64_t send_fds(struct file *file, const size_t *numbers, size_t count, size_t flags,
                        const uint64_t *metadata, size_t metadata_len)
{
    int fds[FDS_MOST];
    if (count == 0 || count > FDS_MOST || metadata_len > 1)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        struct file *ours = table_get(numbers[i]);
        if (ours) {
            file_put(ours);
            return -EOPNOTSUPP; /* a handle belongs to its connection and cannot leave it */
        }
        fds[i] = (int)numbers[i];
    }
    uint64_t how = (flags & REDOX_CALL_FD_EXCLUSIVE ? 1u : 0u) |
                   (flags & REDOX_CALL_FD_CLONE ? 2u : 0u);
    struct call call = {.opcode = OP_SENDFD,
                        .args = {file->handle, how, metadata_len ? metadata[0] : 0, count},
                        .fds = fds,
                        .fd_count = (int)count};
    int64_t result = connection_call(file->connection, &call);
    if (result >= 0 && !(flags & REDOX_CALL_FD_CLONE))
        for (size_t i = 0; i < count; i++)
            close(fds[i]);
    return result;
}

/* Fetch up to `count` descriptors into `payload`; returns how many came. */
static int64_t receive_fds(struct file *file, size_t *numbers, size_t count, size_t flags,
                           const uint64_t *metadata, size_t metadata_len)
{
    int got[FDS_MOST];
    if (count == 0 || count > FDS_MOST || metadata_len > 2)
        return -EINVAL;
    uint64_t how = (flags & REDOX_CALL_FD_UPPER ? 2u : 0u) |
                   (flags & REDOX_CALL_FD_CLOEXEC ? 4u : 0u);
    struct call call = {.opcode = OP_RECVFD,
                        .args = {file->handle, how, count, metadata_len ? metadata[0] : 0,
                                 metadata_len > 1 ? metadata[1] : 0},
                        .got = got};
    int64_t result = connection_call(file->connection, &call);
    if (result < 0)
        return result;
    for (int i = 0; i < call.got_count; i++) {
        if ((size_t)i < count)
            numbers[i] = (size_t)got[i];
        else
            close(got[i]);
    }
    return (size_t)call.got_count < count ? call.got_count : (int64_t)count;
}

static int64_t plain_call(struct file *file, void *payload, size_t len, size_t flags,
                          const uint64_t *metadata, size_t metadata_len)
{
    bool back = flags & REDOX_CALL_READ || !(flags & REDOX_CALL_WRITE);
    struct call call = {.opcode = flags & REDOX_CALL_STD_FS ? OP_STD_FS_CALL : OP_CALL,
                        .has_buffer = true,
                        .args = {file->handle},
                        .in = payload,
                        .in_len = len,
                        .out = back ? payload : NULL,
                        .out_len = len,
                        .out_whole = true};
    if (metadata_len)
        memcpy(&call.args[3], metadata, metadata_len * sizeof(*metadata));
    return connection_call(file->connection, &call);
}

size_t redox_sys_call_v0(size_t fd, void *payload, size_t len, size_t flags,
                         const uint64_t *metadata, size_t metadata_len)
{
    struct file *file = table_get(fd);
    if (!file)
        return (size_t)-EBADF;
    int64_t result;
    size_t count = len / sizeof(size_t);
    if (!file->connection)
        result = -EOPNOTSUPP;
    else if (metadata_len > METADATA_MOST)
        result = -EINVAL;
    else if (!(flags & REDOX_CALL_FD))
        result = plain_call(file, payload, len, flags, metadata, metadata_len);
    else if (flags & REDOX_CALL_WRITE)
        result = send_fds(file, payload, count, flags, metadata, metadata_len);
    else
        result = receive_fds(file, payload, count, flags, metadata, metadata_len);
    file_put(file);
    return as_size(result);
}
