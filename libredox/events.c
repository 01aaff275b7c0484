/*
 * Event queues.  A queue is an epoll descriptor: it holds the sockets of the schemes that were
 * subscribed to, Linux descriptors, and a bell that rings when another thread has taken an event.
 *
 * One lock for all queues; it may be taken with a connection's lock held, not the other way round.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct subscription {
    size_t fd;
    size_t user_data;
    uint32_t mask;
    uint32_t pending;            /* what happened and was not fetched */
    struct file *file;           /* NULL: a Linux descriptor */
    struct queue *queue;
    struct subscription *next;   /* in its queue */
    struct subscription *beside; /* on its connection */
};

struct queue {
    int epoll;
    int bell;
    struct subscription *subscriptions;
    struct queue *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue *queues;

static struct queue *find(size_t number)
{
    struct queue *queue = queues;
    while (queue && (size_t)queue->epoll != number)
        queue = queue->next;
    return queue;
}

static void stir(struct queue *queue)
{
    uint64_t one = 1;
    ssize_t done = write(queue->bell, &one, sizeof(one));
    (void)done; /* full: it rings already */
}

void events_post(struct connection *c, uint64_t handle, uint32_t flags)
{
    pthread_mutex_lock(&lock);
    for (struct subscription *s = c->subscriptions; s; s = s->beside)
        if (s->file->handle == handle && s->mask & flags) {
            s->pending |= s->mask & flags;
            stir(s->queue);
        }
    pthread_mutex_unlock(&lock);
}

/* Who waits is told to look, and gets the error. */
void events_ended(struct connection *c)
{
    pthread_mutex_lock(&lock);
    for (struct subscription *s = c->subscriptions; s; s = s->beside) {
        s->pending |= s->mask;
        stir(s->queue);
    }
    pthread_mutex_unlock(&lock);
}

void events_stir(struct connection *c)
{
    pthread_mutex_lock(&lock);
    for (struct subscription *s = c->subscriptions; s; s = s->beside)
        stir(s->queue);
    pthread_mutex_unlock(&lock);
}

/* Take a subscription out of its connection; the queue hears nothing more. */
static void leave(struct subscription *gone)
{
    struct connection *c = gone->file->connection;
    struct subscription *left = NULL;
    bool queue_stays = false;
    for (struct subscription *s = c->subscriptions, *next; s; s = next) {
        next = s->beside;
        if (s == gone)
            continue;
        s->beside = left;
        left = s;
        queue_stays |= s->queue == gone->queue;
    }
    c->subscriptions = left;
    if (!queue_stays)
        epoll_ctl(gone->queue->epoll, EPOLL_CTL_DEL, c->socket, NULL);
}

static void discard(struct subscription *gone)
{
    if (gone->file)
        leave(gone);
    else
        epoll_ctl(gone->queue->epoll, EPOLL_CTL_DEL, (int)gone->fd, NULL);
    free(gone);
}

/* Closing the last descriptor of an open file ends its subscriptions. */
void events_forget(struct file *file)
{
    if (!file->connection->subscriptions)
        return;
    pthread_mutex_lock(&lock);
    for (struct queue *queue = queues; queue; queue = queue->next)
        for (struct subscription **place = &queue->subscriptions; *place;) {
            struct subscription *s = *place;
            if (s->file == file) {
                *place = s->next;
                discard(s);
            } else {
                place = &s->next;
            }
        }
    pthread_mutex_unlock(&lock);
}

size_t redox_event_queue_create_v1(uint32_t flags)
{
    (void)flags; /* none is defined */
    struct queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return (size_t)-ENOMEM;
    queue->epoll = epoll_create1(EPOLL_CLOEXEC);
    queue->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = queue->bell};
    if (queue->epoll < 0 || queue->bell < 0 ||
        epoll_ctl(queue->epoll, EPOLL_CTL_ADD, queue->bell, &event) < 0) {
        int failed = errno;
        if (queue->epoll >= 0)
            close(queue->epoll);
        if (queue->bell >= 0)
            close(queue->bell);
        free(queue);
        return (size_t)-failed;
    }
    pthread_mutex_lock(&lock);
    queue->next = queues;
    queues = queue;
    pthread_mutex_unlock(&lock);
    return (size_t)queue->epoll;
}

size_t redox_event_queue_destroy_v1(size_t number)
{
    pthread_mutex_lock(&lock);
    struct queue *queue = find(number);
    if (!queue) {
        pthread_mutex_unlock(&lock);
        return (size_t)-EBADF;
    }
    for (struct queue **place = &queues; *place; place = &(*place)->next)
        if (*place == queue) {
            *place = queue->next;
            break;
        }
    while (queue->subscriptions) {
        struct subscription *s = queue->subscriptions;
        queue->subscriptions = s->next;
        discard(s);
    }
    pthread_mutex_unlock(&lock);
    close(queue->bell);
    close(queue->epoll);
    free(queue);
    return 0;
}

/* What all queues together want of a handle. */
static uint32_t wanted(struct connection *c, uint64_t handle)
{
    uint32_t mask = 0;
    pthread_mutex_lock(&lock);
    for (struct subscription *s = c->subscriptions; s; s = s->beside)
        if (s->file->handle == handle)
            mask |= s->mask;
    pthread_mutex_unlock(&lock);
    return mask;
}

static int64_t tell_scheme(struct file *file)
{
    struct call call = {.opcode = OP_FEVENT,
                        .args = {file->handle, wanted(file->connection, file->handle)}};
    return connection_call(file->connection, &call);
}

static int join(struct queue *queue, struct subscription *s)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    int number = s->file ? s->file->connection->socket : (int)s->fd;
    event.data.fd = number;
    if (!s->file)
        event.events = EPOLLET | (s->mask & REDOX_EVENT_READ ? (uint32_t)EPOLLIN : 0) |
                       (s->mask & REDOX_EVENT_WRITE ? (uint32_t)EPOLLOUT : 0);
    if (epoll_ctl(queue->epoll, EPOLL_CTL_ADD, number, &event) < 0) {
        if (!s->file && errno == EPERM)
            s->pending = s->mask; /* a plain file is always ready */
        else if (!s->file || errno != EEXIST)
            return -errno;
    }
    return 0;
}

static bool drop(struct queue *queue, size_t fd)
{
    for (struct subscription **place = &queue->subscriptions; *place; place = &(*place)->next)
        if ((*place)->fd == fd) {
            struct subscription *s = *place;
            *place = s->next;
            discard(s);
            return true;
        }
    return false;
}

static int subscribe(size_t number, struct subscription *s)
{
    pthread_mutex_lock(&lock);
    struct queue *queue = find(number);
    int bad = queue ? 0 : -EBADF;
    if (!bad) {
        drop(queue, s->fd); /* the newer replaces the older */
        s->queue = queue;
        bad = join(queue, s);
    }
    if (!bad) {
        s->next = queue->subscriptions;
        queue->subscriptions = s;
        if (s->file) {
            s->beside = s->file->connection->subscriptions;
            s->file->connection->subscriptions = s;
        }
        if (s->pending)
            stir(queue);
    }
    pthread_mutex_unlock(&lock);
    return bad;
}

size_t redox_event_queue_ctl_v1(size_t number, size_t fd, uint32_t flags, size_t user_data)
{
    struct file *file = table_get(fd);
    size_t result = 0;
    flags &= REDOX_EVENT_READ | REDOX_EVENT_WRITE;
    if (file && !file->connection) {
        result = (size_t)-EPERM; /* the list of schemes has no events */
    } else if (!flags) {
        pthread_mutex_lock(&lock);
        struct queue *queue = find(number);
        if (!queue)
            result = (size_t)-EBADF;
        else if (!drop(queue, fd))
            result = (size_t)-ENOENT;
        pthread_mutex_unlock(&lock);
        if (file && !result)
            tell_scheme(file);
    } else {
        struct subscription *s = calloc(1, sizeof(*s));
        int bad = -ENOMEM;
        if (s) {
            *s = (struct subscription){
                .fd = fd, .user_data = user_data, .mask = flags, .file = file};
            bad = subscribe(number, s);
        }
        if (bad) {
            free(s);
            result = as_size(bad);
        } else if (file) {
            int64_t ready = tell_scheme(file);
            if (ready < 0)
                result = as_size(ready);
            else if (ready & flags)
                events_post(file->connection, file->handle, (uint32_t)ready);
        }
    }
    if (file)
        file_put(file);
    return result;
}

/* Move what is pending into `events`. */
static size_t fetch(struct queue *queue, struct redox_raw_event_v1 *events, size_t count)
{
    size_t filled = 0;
    for (struct subscription *s = queue->subscriptions; s && filled < count; s = s->next)
        if (s->pending) {
            events[filled++] = (struct redox_raw_event_v1){s->fd, s->user_data, s->pending};
            s->pending = 0;
        }
    return filled;
}

/* Look at every connection that a queue listens to; theirs is the lock that comes first. */
static void look(size_t number)
{
    struct connection *seen[64];
    size_t count = 0;
    pthread_mutex_lock(&lock);
    struct queue *queue = find(number);
    for (struct subscription *s = queue ? queue->subscriptions : NULL; s && count < 64; s = s->next) {
        size_t i = 0;
        while (s->file && i < count && seen[i] != s->file->connection)
            i++;
        if (s->file && i == count) {
            connection_use(s->file->connection);
            seen[count++] = s->file->connection;
        }
    }
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++) {
        connection_look(seen[i]);
        connection_put(seen[i]);
    }
}

static void note_linux(struct queue *queue, const struct epoll_event *ready, int count)
{
    uint64_t rung;
    for (int i = 0; i < count; i++) {
        if (ready[i].data.fd == queue->bell) {
            ssize_t done = read(queue->bell, &rung, sizeof(rung));
            (void)done;
            continue;
        }
        for (struct subscription *s = queue->subscriptions; s; s = s->next)
            if (!s->file && (int)s->fd == ready[i].data.fd) {
                if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                    s->pending |= REDOX_EVENT_READ;
                if (ready[i].events & EPOLLOUT)
                    s->pending |= REDOX_EVENT_WRITE;
            }
    }
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

size_t redox_event_queue_get_events_v1(size_t number, struct redox_raw_event_v1 *events,
                                       size_t count, uint32_t flags,
                                       const struct timespec *timeout, const sigset_t *mask)
{
    (void)flags; /* none is defined */
    int64_t until = timeout ? now_ns() + timeout->tv_sec * 1000000000LL + timeout->tv_nsec : 0;
    bool late = false;
    if (!count)
        return (size_t)-EINVAL;
    for (;;) {
        struct epoll_event ready[16];
        look(number);
        pthread_mutex_lock(&lock);
        struct queue *queue = find(number);
        size_t filled = queue ? fetch(queue, events, count) : (size_t)-EBADF;
        pthread_mutex_unlock(&lock);
        if (filled || late)
            return filled;
        int64_t left = timeout ? (until - now_ns() + 999999) / 1000000 : -1;
        if (timeout && left < 0)
            left = 0;
        int got = epoll_pwait((int)number, ready, 16, left > INT_MAX ? INT_MAX : (int)left, mask);
        if (got < 0)
            return (size_t)-errno;
        late = timeout && got == 0 && now_ns() >= until;
        pthread_mutex_lock(&lock);
        queue = find(number);
        if (queue)
            note_linux(queue, ready, got);
        pthread_mutex_unlock(&lock);
    }
}
