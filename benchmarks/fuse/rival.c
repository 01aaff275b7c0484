/* A file system with one file, `blob`, by libfuse's low-level interface.
 *
 * Reads are not cached by the kernel (direct_io); the loop has one thread, as every rival here.  They
 * are answered from memory, or with SOURCE from that file, handed to libfuse as a descriptor to be
 * spliced from.  Usage: rival MOUNTPOINT SIZE [SOURCE]
 */
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *blob;
static size_t blob_size;
static int source = -1;

enum { BLOB = 2 };

static int describe(fuse_ino_t node, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_ino = node;
    if (node == FUSE_ROOT_ID) {
        st->st_mode = S_IFDIR | 0755;
        st->st_nlink = 2;
        return 0;
    }
    if (node == BLOB) {
        st->st_mode = S_IFREG | 0644;
        st->st_nlink = 1;
        st->st_size = (off_t)blob_size;
        return 0;
    }
    return ENOENT;
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    if (parent != FUSE_ROOT_ID || strcmp(name, "blob") != 0) {
        fuse_reply_err(request, ENOENT);
        return;
    }
    memset(&entry, 0, sizeof entry);
    entry.ino = BLOB;
    describe(BLOB, &entry.attr);
    fuse_reply_entry(request, &entry);
}

static void on_getattr(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file)
{
    struct stat st;
    (void)file;
    if (describe(node, &st))
        fuse_reply_err(request, ENOENT);
    else
        fuse_reply_attr(request, &st, 0.0);
}

static void on_open(fuse_req_t request, fuse_ino_t node, struct fuse_file_info *file)
{
    if (node != BLOB) {
        fuse_reply_err(request, EISDIR);
        return;
    }
    file->direct_io = 1;
    fuse_reply_open(request, file);
}

static void on_read(fuse_req_t request, fuse_ino_t node, size_t size, off_t offset,
                    struct fuse_file_info *file)
{
    (void)node;
    (void)file;
    size_t at = (size_t)offset < blob_size ? (size_t)offset : blob_size;
    size_t left = blob_size - at;
    if (source >= 0) {
        struct fuse_bufvec buffer = FUSE_BUFVEC_INIT(size < left ? size : left);
        buffer.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
        buffer.buf[0].fd = source;
        buffer.buf[0].pos = offset;
        fuse_reply_data(request, &buffer, FUSE_BUF_SPLICE_MOVE);
        return;
    }
    fuse_reply_buf(request, blob + at, size < left ? size : left);
}

static const struct fuse_lowlevel_ops operations = {
    .lookup = on_lookup,
    .getattr = on_getattr,
    .open = on_open,
    .read = on_read,
};

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: rival MOUNTPOINT SIZE [SOURCE]\n");
        return 2;
    }
    if (argc == 4 && (source = open(argv[3], O_RDONLY | O_CLOEXEC)) < 0)
        return 1;
    blob_size = strtoull(argv[2], NULL, 10);
    blob = calloc(1, blob_size);
    char *words[] = {argv[0], NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(1, words);
    struct fuse_session *session =
        fuse_session_new(&arguments, &operations, sizeof operations, NULL);
    if (!blob || !session || fuse_session_mount(session, argv[1]))
        return 1;
    int status = fuse_session_loop(session);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return status ? 1 : 0;
}
