/* fmap: memory of a scheme, of a Linux descriptor, or of nobody. */
#define _GNU_SOURCE
#include "ring.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOBODY ((size_t)-1)

/* What was mapped from a scheme, so that it hears of the unmapping. */
struct mapping {
    void *addr;
    size_t len;
    uint64_t offset;
    struct file *file;
    struct mapping *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping *mappings;

static int linux_prot(uint32_t prot)
{
    return (prot & REDOX_PROT_READ ? PROT_READ : 0) | (prot & REDOX_PROT_WRITE ? PROT_WRITE : 0) |
           (prot & REDOX_PROT_EXEC ? PROT_EXEC : 0);
}

static int linux_flags(uint32_t flags)
{
    int result = flags & REDOX_MAP_SHARED ? MAP_SHARED : MAP_PRIVATE;
    if ((flags & REDOX_MAP_FIXED_NOREPLACE) == REDOX_MAP_FIXED_NOREPLACE)
        return result | MAP_FIXED_NOREPLACE;
    return flags & REDOX_MAP_FIXED ? result | MAP_FIXED : result;
}

static size_t map_scheme(struct file *file, void *addr, size_t len, uint32_t prot, uint32_t flags,
                         uint64_t offset)
{
    int got[FDS_MOST];
    struct mapping *mapping = malloc(sizeof(*mapping));
    if (!mapping)
        return (size_t)-ENOMEM;
    struct call call = {.opcode = OP_MMAP_PREP,
                        .args = {file->handle, len, (uint64_t)prot << 16 | (flags & 0xFFFF), offset},
                        .got = got};
    int64_t at = connection_call(file->connection, &call);
    if (at >= 0 && call.got_count != 1)
        at = -EPROTO;
    if (at < 0) {
        free(mapping);
        return as_size(at);
    }
    void *mapped = mmap(addr, len, linux_prot(prot), linux_flags(flags), got[0], (off_t)at);
    int failed = errno;
    close(got[0]);
    if (mapped == MAP_FAILED) {
        free(mapping);
        return (size_t)-failed;
    }
    atomic_fetch_add(&file->users, 1);
    pthread_mutex_lock(&lock);
    *mapping = (struct mapping){mapped, len, offset, file, mappings};
    mappings = mapping;
    pthread_mutex_unlock(&lock);
    return (size_t)mapped;
}

size_t redox_mmap_v1(void *addr, size_t len, uint32_t prot, uint32_t flags, size_t fd,
                     uint64_t offset)
{
    bool anonymous = fd == NOBODY;
    struct file *file = anonymous ? NULL : table_get(fd);
    if (!file) {
        int how = linux_flags(flags) | (anonymous ? MAP_ANONYMOUS : 0);
        void *mapped = mmap(addr, len, linux_prot(prot), how, anonymous ? -1 : (int)fd,
                            anonymous ? 0 : (off_t)offset);
        return mapped == MAP_FAILED ? (size_t)-errno : (size_t)mapped;
    }
    size_t result = (size_t)-EOPNOTSUPP;
    if (file->connection)
        result = map_scheme(file, addr, len, prot, flags, offset);
    file_put(file);
    return result;
}

size_t redox_munmap_v1(void *addr, size_t len)
{
    if (munmap(addr, len) < 0)
        return (size_t)-errno;
    pthread_mutex_lock(&lock);
    struct mapping *found = NULL;
    for (struct mapping **place = &mappings; *place; place = &(*place)->next)
        if ((*place)->addr == addr && (*place)->len == len) {
            found = *place;
            *place = found->next;
            break;
        }
    pthread_mutex_unlock(&lock);
    if (found) {
        /* A scheme that has died, or does not care, changes nothing here. */
        struct call call = {.opcode = OP_MUNMAP, .args = {found->file->handle, len, 0, found->offset}};
        connection_call(found->file->connection, &call);
        file_put(found->file);
        free(found);
    }
    return 0;
}
