/* Which scheme has a connection: one per scheme and process, made anew after a restart. */
#define _GNU_SOURCE
#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct connection *known;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* A child's rings are its parent's: it may write nothing there. */
static void in_child(void)
{
    for (struct connection *c = known; c; c = c->next) {
        pthread_mutex_init(&c->lock, NULL);
        pthread_cond_init(&c->moved, NULL);
        c->waiting = 0;
        c->led = false;
        c->dead = true;
    }
    pthread_mutex_unlock(&lock);
}

static void prepare(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

static void destroy(struct connection *c)
{
    if (c->memory)
        munmap(c->memory, RING_BYTES);
    if (c->socket >= 0)
        close(c->socket);
    if (c->bell >= 0)
        close(c->bell);
    pthread_cond_destroy(&c->moved);
    pthread_mutex_destroy(&c->lock);
    free(c->name);
    free(c);
}

static struct connection *create(const char *name)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->socket = c->bell = -1;
    c->users = 1;
    c->name = strdup(name);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->moved, NULL);
    if (!c->name) {
        destroy(c);
        return NULL;
    }
    return c;
}

int64_t connection_get(const char *name, struct connection **found)
{
    pthread_once(&once, prepare);
    pthread_mutex_lock(&lock);
    for (struct connection *c = known; c; c = c->next) {
        if (!c->dead && strcmp(c->name, name) == 0) {
            c->users++;
            pthread_mutex_unlock(&lock);
            connection_look(c);
            if (!c->dead) {
                *found = c;
                return 0;
            }
            connection_put(c);
            pthread_mutex_lock(&lock);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    /* Not under the lock: a daemon that is being restarted makes us wait. */
    struct connection *made = create(name);
    if (!made)
        return -ENOMEM;
    int64_t result = dial(made);
    if (result) {
        destroy(made);
        return result;
    }
    pthread_mutex_lock(&lock);
    made->next = known;
    known = made;
    pthread_mutex_unlock(&lock);
    *found = made;
    return 0;
}

void connection_use(struct connection *c)
{
    pthread_mutex_lock(&lock);
    c->users++;
    pthread_mutex_unlock(&lock);
}

void connection_put(struct connection *c)
{
    pthread_mutex_lock(&lock);
    bool last = --c->users == 0;
    if (last)
        for (struct connection **place = &known; *place; place = &(*place)->next)
            if (*place == c) {
                *place = c->next;
                break;
            }
    pthread_mutex_unlock(&lock);
    if (last)
        destroy(c);
}
