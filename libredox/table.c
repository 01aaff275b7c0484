/*
 * Descriptors: numbers and the open files behind them.
 *
 * Each number is reserved by a Linux descriptor that can do nothing (O_PATH), so that it collides
 * with none of the program's own, and a read(2) of it fails instead of reading something else.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file **files;
static size_t room;

struct file *file_new(struct connection *connection, uint64_t handle, uint32_t flags,
                      uint8_t new_flags)
{
    struct file *file = calloc(1, sizeof(*file));
    if (!file)
        return NULL;
    atomic_init(&file->users, 1);
    file->connection = connection;
    file->handle = handle;
    file->flags = flags;
    file->positioned = new_flags & POSITIONED;
    file->offset = file->positioned ? 0 : NO_OFFSET;
    return file;
}

void file_put(struct file *file)
{
    if (atomic_fetch_sub(&file->users, 1) != 1)
        return;
    if (file->connection) {
        events_forget(file);
        if (!file->connection->dead) {
            struct call call = {.opcode = OP_CLOSE, .args = {file->handle}};
            connection_call(file->connection, &call);
        }
        connection_put(file->connection);
    }
    free(file);
}

static bool grow(size_t number)
{
    if (number < room)
        return true;
    size_t wanted = number + 64;
    struct file **grown = realloc(files, wanted * sizeof(*files));
    if (!grown)
        return false;
    memset(grown + room, 0, (wanted - room) * sizeof(*files));
    files = grown;
    room = wanted;
    return true;
}

size_t table_add(struct file *file)
{
    int number = open("/", O_PATH | O_CLOEXEC);
    if (number < 0)
        return (size_t)-errno;
    pthread_mutex_lock(&lock);
    bool fits = grow((size_t)number);
    if (fits)
        files[number] = file;
    pthread_mutex_unlock(&lock);
    if (!fits) {
        close(number);
        return (size_t)-ENOMEM;
    }
    return (size_t)number;
}

struct file *table_get(size_t fd)
{
    pthread_mutex_lock(&lock);
    struct file *file = fd < room ? files[fd] : NULL;
    if (file)
        atomic_fetch_add(&file->users, 1);
    pthread_mutex_unlock(&lock);
    return file;
}

size_t table_remove(size_t fd)
{
    pthread_mutex_lock(&lock);
    struct file *file = fd < room ? files[fd] : NULL;
    if (file)
        files[fd] = NULL;
    pthread_mutex_unlock(&lock);
    if (!file)
        return from_linux(close((int)fd));
    close((int)fd);
    file_put(file);
    return 0;
}

void table_forget(size_t fd)
{
    pthread_mutex_lock(&lock);
    struct file *file = fd < room ? files[fd] : NULL;
    if (file)
        files[fd] = NULL;
    pthread_mutex_unlock(&lock);
    if (file)
        file_put(file);
}

size_t table_replace(size_t fd, struct file *file)
{
    /* Reserves the number when it was free, and takes a Linux descriptor's place. */
    int number = open("/", O_PATH | O_CLOEXEC);
    if (number < 0)
        return (size_t)-errno;
    pthread_mutex_lock(&lock);
    struct file *old = NULL;
    size_t result = fd;
    if (fd > 1 << 20)
        result = (size_t)-EBADF;
    else if (!grow(fd))
        result = (size_t)-ENOMEM;
    else if ((size_t)number != fd && dup3(number, (int)fd, O_CLOEXEC) < 0)
        result = (size_t)-errno;
    if (!redox_is_error(result)) {
        old = files[fd];
        files[fd] = file;
    }
    pthread_mutex_unlock(&lock);
    if ((size_t)number != fd)
        close(number);
    if (old)
        file_put(old);
    return result;
}
