/* Names and files.  A number that is not ours is a Linux descriptor, and Linux serves it. */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "listing.h"

#define OPENS 8 /* daemons that died one after another before they had seen an open */

/* Make a descriptor of an answer to open or dup; takes over a use of the connection. */
static size_t adopt(struct connection *c, const struct call *call, int64_t result, uint32_t flags)
{
    if (call->got_count) {
        connection_put(c);
        return (size_t)call->got[0];
    }
    struct file *file = file_new(c, (uint64_t)result, flags, call->new_flags);
    if (!file) {
        connection_put(c);
        return (size_t)-ENOMEM;
    }
    size_t fd = table_add(file);
    if (redox_is_error(fd))
        file_put(file);
    return fd;
}

static int64_t call_path(struct connection *c, struct call *call, const char *path, size_t len)
{
    call->has_buffer = true;
    call->in = path;
    call->in_len = len;
    return connection_call(c, call);
}

static size_t open_scheme(const char *scheme, const char *path, uint32_t flags)
{
    for (int time = 1;; time++) {
        struct connection *c;
        int got[FDS_MOST];
        int64_t result = connection_get(scheme, &c);
        if (result < 0)
            return as_size(result);
        struct call call = {
            .opcode = OP_OPEN_AT, .args = {0, 0, 0, flags, flags & FCNTL_MASK}, .got = got};
        result = call_path(c, &call, path, strlen(path));
        if (result >= 0)
            return adopt(c, &call, result, flags);
        connection_put(c);
        if (!call.untaken || time == OPENS) /* otherwise the daemon died before it had seen the call */
            return as_size(result);
    }
}

size_t redox_open_v1(const char *path, size_t len, uint32_t flags, uint16_t mode)
{
    char scheme[256];
    char rest[PATH_MOST + 1];
    int bad = path_parse(path, len, scheme, rest);
    if (bad)
        return as_size(bad);
    if (flags & REDOX_O_CREAT)
        flags |= mode & 07777u;
    if (scheme[0])
        return open_scheme(scheme, rest, flags);
    if (!rest[0])
        return list_open(flags);
    char *slash = strchr(rest, '/');
    if (slash)
        *slash++ = 0;
    return open_scheme(rest, slash ? slash : "", flags);
}

size_t redox_openat_v1(size_t fd, const char *path, size_t len, uint32_t flags,
                       uint32_t fcntl_flags)
{
    struct file *file = table_get(fd);
    size_t result;
    if (len && path[0] == '/') {
        result = redox_open_v1(path, len, flags, 0);
    } else if (!file) {
        result = (size_t)-EOPNOTSUPP; /* Linux's openat has other flags */
    } else if (!file->connection) {
        char full[PATH_MOST + 16] = "/scheme/";
        if (len > PATH_MOST)
            len = PATH_MOST + 1;
        else
            memcpy(full + 8, path, len);
        result = redox_open_v1(full, len + 8, flags, 0);
    } else if (len > PATH_MOST) {
        result = (size_t)-ENAMETOOLONG;
    } else {
        struct connection *c;
        int got[FDS_MOST];
        struct call call = {.opcode = OP_OPEN_AT,
                            .args = {file->handle, 0, 0, flags, fcntl_flags & FCNTL_MASK},
                            .got = got};
        int64_t opened = call_path(file->connection, &call, path, len);
        result = as_size(opened);
        if (opened >= 0) {
            connection_use(c = file->connection);
            result = adopt(c, &call, opened, flags | (fcntl_flags & FCNTL_MASK));
        }
    }
    if (file)
        file_put(file);
    return result;
}

size_t redox_dup_v1(size_t fd, const void *buf, size_t len)
{
    struct file *file = table_get(fd);
    if (!file)
        return len ? (size_t)-EOPNOTSUPP : from_linux(fcntl((int)fd, F_DUPFD_CLOEXEC, 0));
    if (!len) {
        size_t made = table_add(file); /* the use that table_get took is its */
        if (redox_is_error(made))
            file_put(file);
        return made;
    }
    size_t result = (size_t)-EOPNOTSUPP;
    if (file->connection) {
        int got[FDS_MOST];
        struct call call = {.opcode = OP_DUP, .args = {file->handle}, .got = got};
        int64_t made = call_path(file->connection, &call, buf, len);
        result = as_size(made);
        if (made >= 0) {
            connection_use(file->connection);
            result = adopt(file->connection, &call, made, file->flags);
        }
    }
    file_put(file);
    return result;
}

size_t redox_dup2_v1(size_t old_fd, size_t new_fd, const void *buf, size_t len)
{
    if (old_fd == new_fd && !len)
        return new_fd;
    size_t made = redox_dup_v1(old_fd, buf, len);
    if (redox_is_error(made))
        return made;
    struct file *file = table_get(made);
    size_t result;
    if (file) {
        result = table_replace(new_fd, file);
        if (redox_is_error(result))
            file_put(file);
    } else {
        table_forget(new_fd);
        result = from_linux(dup3((int)made, (int)new_fd, O_CLOEXEC));
    }
    redox_close_v1(made);
    return result;
}

size_t redox_close_v1(size_t fd)
{
    return table_remove(fd);
}

/* A call with a handle and up to four words, and a buffer if `call` says so. */
static size_t on_file(size_t fd, struct call call)
{
    struct file *file = table_get(fd);
    if (!file)
        return (size_t)-EBADF;
    size_t result = (size_t)-EOPNOTSUPP;
    if (file->connection) {
        call.args[0] = file->handle;
        result = as_size(connection_call(file->connection, &call));
    }
    file_put(file);
    return result;
}

static bool is_ours(size_t fd)
{
    struct file *file = table_get(fd);
    if (file)
        file_put(file);
    return file != NULL;
}

size_t redox_read_v1(size_t fd, void *buf, size_t len)
{
    struct file *file = table_get(fd);
    if (!file)
        return from_linux(read((int)fd, buf, len));
    int64_t result = -EISDIR;
    if (file->connection) {
        uint64_t offset = file->offset;
        struct call call = {.opcode = OP_READ,
                            .has_buffer = true,
                            .args = {file->handle, 0, 0, offset, file->flags & FCNTL_MASK},
                            .out = buf,
                            .out_len = len < ROOM ? len : ROOM};
        result = connection_call(file->connection, &call);
        if (result > 0 && file->positioned)
            file->offset = offset + (uint64_t)result;
    }
    file_put(file);
    return as_size(result);
}

size_t redox_write_v1(size_t fd, const void *buf, size_t len)
{
    struct file *file = table_get(fd);
    if (!file)
        return from_linux(write((int)fd, buf, len));
    int64_t result = -EBADF;
    if (file->connection) {
        uint64_t offset = file->offset;
        result = 0;
        if (file->positioned && file->flags & REDOX_O_APPEND) {
            struct call size = {.opcode = OP_FSIZE, .args = {file->handle}};
            result = connection_call(file->connection, &size);
            offset = (uint64_t)result;
        }
        struct call call = {.opcode = OP_WRITE,
                            .has_buffer = true,
                            .args = {file->handle, 0, 0, offset, file->flags & FCNTL_MASK},
                            .in = buf,
                            .in_len = len < ROOM ? len : ROOM};
        if (result >= 0)
            result = connection_call(file->connection, &call);
        if (result > 0 && file->positioned)
            file->offset = offset + (uint64_t)result;
    }
    file_put(file);
    return as_size(result);
}

size_t redbear_lseek(size_t fd, int64_t offset, int whence)
{
    struct file *file = table_get(fd);
    if (!file)
        return from_linux(lseek((int)fd, offset, whence));
    int64_t result = -ESPIPE;
    if (file->positioned) {
        int64_t from = 0;
        struct call size = {.opcode = OP_FSIZE, .args = {file->handle}};
        if (whence == SEEK_CUR)
            from = (int64_t)file->offset;
        else if (whence == SEEK_END)
            from = connection_call(file->connection, &size);
        else if (whence != SEEK_SET)
            from = -EINVAL;
        if (from < 0)
            result = from;
        else if (__builtin_add_overflow(from, offset, &result) || result < 0)
            result = -EINVAL;
        else
            file->offset = (uint64_t)result;
    }
    file_put(file);
    return as_size(result);
}

size_t redox_fchmod_v1(size_t fd, uint16_t mode)
{
    if (!is_ours(fd))
        return from_linux(fchmod((int)fd, mode));
    return on_file(fd, (struct call){.opcode = OP_FCHMOD, .args = {0, mode}});
}

size_t redox_fchown_v1(size_t fd, uint32_t uid, uint32_t gid)
{
    if (!is_ours(fd))
        return from_linux(fchown((int)fd, uid, gid));
    return on_file(fd, (struct call){.opcode = OP_FCHOWN, .args = {0, uid, gid}});
}

size_t redox_getdents_v0(size_t fd, void *buf, size_t len, uint64_t opaque)
{
    struct file *file = table_get(fd);
    if (!file)
        return (size_t)-ENOTDIR;
    size_t result = file->connection ? 0 : list_entries(buf, len, opaque);
    bool list = !file->connection;
    file_put(file);
    if (list)
        return result;
    return on_file(fd, (struct call){.opcode = OP_GETDENTS,
                                     .has_buffer = true,
                                     .args = {0, 0, 0, sizeof(struct redox_dirent), opaque},
                                     .out = buf,
                                     .out_len = len < ROOM ? len : ROOM});
}

static size_t stat_linux(size_t fd, struct redox_stat *to)
{
    struct stat from;
    if (fstat((int)fd, &from) < 0)
        return (size_t)-errno;
    *to = (struct redox_stat){
        .st_dev = from.st_dev,
        .st_ino = from.st_ino,
        .st_mode = (uint16_t)from.st_mode,
        .st_nlink = (uint32_t)from.st_nlink,
        .st_uid = from.st_uid,
        .st_gid = from.st_gid,
        .st_size = (uint64_t)from.st_size,
        .st_blksize = (uint32_t)from.st_blksize,
        .st_blocks = ((uint64_t)from.st_blocks * 512 + (uint64_t)from.st_blksize - 1) /
                     (uint64_t)from.st_blksize,
        .st_mtime_sec = (uint64_t)from.st_mtim.tv_sec,
        .st_mtime_nsec = (uint32_t)from.st_mtim.tv_nsec,
        .st_atime_sec = (uint64_t)from.st_atim.tv_sec,
        .st_atime_nsec = (uint32_t)from.st_atim.tv_nsec,
        .st_ctime_sec = (uint64_t)from.st_ctim.tv_sec,
        .st_ctime_nsec = (uint32_t)from.st_ctim.tv_nsec,
    };
    return 0;
}

size_t redox_fstat_v1(size_t fd, struct redox_stat *stat)
{
    struct file *file = table_get(fd);
    if (!file)
        return stat_linux(fd, stat);
    bool list = !file->connection;
    file_put(file);
    if (list) {
        *stat = (struct redox_stat){.st_mode = S_IFDIR | 0555, .st_nlink = 2, .st_blksize = PAGE};
        return 0;
    }
    return on_file(fd, (struct call){.opcode = OP_FSTAT,
                                     .has_buffer = true,
                                     .out = stat,
                                     .out_len = sizeof(*stat),
                                     .out_whole = true});
}

size_t redox_fstatvfs_v1(size_t fd, struct redox_statvfs *stat)
{
    struct statvfs from;
    if (is_ours(fd))
        return on_file(fd, (struct call){.opcode = OP_FSTATVFS,
                                         .has_buffer = true,
                                         .out = stat,
                                         .out_len = sizeof(*stat),
                                         .out_whole = true});
    if (fstatvfs((int)fd, &from) < 0)
        return (size_t)-errno;
    *stat = (struct redox_statvfs){.f_bsize = (uint32_t)from.f_frsize,
                                   .f_blocks = from.f_blocks,
                                   .f_bfree = from.f_bfree,
                                   .f_bavail = from.f_bavail};
    return 0;
}

size_t redox_fsync_v1(size_t fd)
{
    return is_ours(fd) ? on_file(fd, (struct call){.opcode = OP_FSYNC})
                       : from_linux(fsync((int)fd));
}

size_t redox_fdatasync_v1(size_t fd)
{
    return is_ours(fd) ? on_file(fd, (struct call){.opcode = OP_FSYNC})
                       : from_linux(fdatasync((int)fd));
}

size_t redox_ftruncate_v0(size_t fd, size_t len)
{
    if (!is_ours(fd))
        return from_linux(ftruncate((int)fd, (off_t)len));
    return on_file(fd, (struct call){.opcode = OP_FTRUNCATE, .args = {0, len}});
}

size_t redox_futimens_v1(size_t fd, const struct timespec times[2])
{
    struct {
        int64_t sec;
        int32_t nsec;
        int32_t pad;
    } wire[2] = {{0, 0, 0}, {0, 0, 0}};
    if (!is_ours(fd))
        return from_linux(futimens((int)fd, times));
    for (int i = 0; times && i < 2; i++) {
        wire[i].sec = times[i].tv_sec;
        wire[i].nsec = (int32_t)times[i].tv_nsec;
    }
    return on_file(fd, (struct call){.opcode = OP_FUTIMENS,
                                     .has_buffer = true,
                                     .in = wire,
                                     .in_len = times ? sizeof(wire) : 0});
}

size_t redox_unlinkat_v0(size_t fd, const char *path, size_t len, uint32_t flags)
{
    if (len > PATH_MOST)
        return (size_t)-ENAMETOOLONG;
    return on_file(fd, (struct call){.opcode = OP_UNLINK_AT,
                                     .has_buffer = true,
                                     .args = {0, 0, 0, flags},
                                     .in = path,
                                     .in_len = len});
}

size_t redox_fpath_v1(size_t fd, void *buf, size_t len)
{
    struct file *file = table_get(fd);
    char link[32];
    if (!file) {
        snprintf(link, sizeof(link), "/proc/self/fd/%zu", fd);
        return from_linux(readlink(link, buf, len));
    }
    bool list = !file->connection;
    file_put(file);
    if (list) {
        memcpy(buf, "/scheme", len < 7 ? len : 7);
        return len < 7 ? len : 7;
    }
    return on_file(fd, (struct call){.opcode = OP_FPATH,
                                     .has_buffer = true,
                                     .out = buf,
                                     .out_len = len < PAGE ? len : PAGE});
}

static size_t rename_to(size_t fd, uint8_t opcode, const char *path, size_t len)
{
    char scheme[256];
    char rest[PATH_MOST + 1];
    int bad = path_parse(path, len, scheme, rest);
    if (bad)
        return as_size(bad);
    struct file *file = table_get(fd);
    if (!file)
        return (size_t)-EBADF;
    size_t result = (size_t)-EXDEV;
    if (file->connection && strcmp(file->connection->name, scheme) == 0) {
        struct call call = {.opcode = opcode, .args = {file->handle}};
        result = as_size(call_path(file->connection, &call, rest, strlen(rest)));
    }
    file_put(file);
    return result;
}

size_t redbear_frename(size_t fd, const char *path, size_t len)
{
    return rename_to(fd, OP_FRENAME, path, len);
}

size_t redbear_flink(size_t fd, const char *path, size_t len)
{
    return rename_to(fd, OP_FLINK, path, len);
}

size_t redox_fcntl_v0(size_t fd, size_t command, size_t argument)
{
    struct file *file = table_get(fd);
    if (!file)
        return (size_t)-EBADF;
    int64_t result = -EOPNOTSUPP;
    if (command == REDOX_F_DUPFD) {
        file_put(file);
        return redox_dup_v1(fd, NULL, 0);
    }
    if (command == REDOX_F_GETFD || command == REDOX_F_SETFD) {
        result = command == REDOX_F_GETFD ? REDOX_O_CLOEXEC : 0; /* none outlives an exec */
    } else if (command == REDOX_F_GETFL) {
        result = file->flags;
    } else if (file->connection) {
        struct call call = {.opcode = OP_FCNTL, .args = {file->handle, command, argument}};
        result = connection_call(file->connection, &call);
        if (command == REDOX_F_SETFL &&
            (result >= 0 || result == -EOPNOTSUPP || result == -ENOSYS)) {
            file->flags = (file->flags & ~FCNTL_MASK) | ((uint32_t)argument & FCNTL_MASK);
            result = 0;
        }
    }
    file_put(file);
    return as_size(result);
}
