/* The list of schemes is the folder of their sockets, read anew by each getdents. */
#define _GNU_SOURCE
#include "listing.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#define KIND_DIR 4

size_t list_open(uint32_t flags)
{
    struct file *file = file_new(NULL, 0, flags, 0);
    if (!file)
        return (size_t)-ENOMEM;
    size_t fd = table_add(file);
    if (redox_is_error(fd))
        file_put(file);
    return fd;
}

static int is_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

size_t list_entries(void *buf, size_t len, uint64_t opaque)
{
    struct dirent **names;
    int count = scandir(rings_folder(), &names, is_name, alphasort);
    if (count < 0)
        return errno == ENOENT ? 0 : (size_t)-errno;
    size_t used = 0;
    bool full = false;
    for (int i = 0; i < count; i++) {
        size_t name_len = strlen(names[i]->d_name);
        size_t record = (sizeof(struct redox_dirent) + name_len + 1 + 7) & ~(size_t)7;
        if ((uint64_t)i >= opaque && !full) {
            if (used + record > len) {
                full = true;
            } else {
                struct redox_dirent head = {.inode = (uint64_t)i + 1,
                                            .next_opaque_id = (uint64_t)i + 1,
                                            .record_len = (uint16_t)record,
                                            .kind = KIND_DIR};
                uint8_t *to = (uint8_t *)buf + used;
                memset(to, 0, record);
                memcpy(to, &head, sizeof(head));
                memcpy(to + sizeof(head), names[i]->d_name, name_len);
                used += record;
            }
        }
        free(names[i]);
    }
    free(names);
    return full && !used ? (size_t)-EINVAL : used;
}
