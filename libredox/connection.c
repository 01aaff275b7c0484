/*
 * Connections: calls go in, answers come out, and one thread at a time waits for the daemon.
 *
 * Whoever waits first leads: it alone reads the socket and takes answers, its own and the others',
 * until its own has come.  The daemon is not trusted: what the protocol does not allow ends the
 * connection.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct fds_message {
    uint32_t tag;
    uint32_t count;
};

static _Atomic uint32_t *word(struct connection *c, size_t at)
{
    return (_Atomic uint32_t *)(void *)(c->memory + at);
}

static void close_fds(struct slot *slot)
{
    for (int i = 0; i < slot->fd_count; i++)
        close(slot->fds[i]);
    slot->fd_count = 0;
}

static void ring_bell(struct connection *c)
{
    uint64_t one = 1;
    ssize_t done;
    do
        done = write(c->bell, &one, sizeof(one));
    while (done < 0 && errno == EINTR);
}

/* End the connection, with the lock held: all that is in hand fails. */
static void end(struct connection *c)
{
    if (c->dead)
        return;
    c->dead = true;
    uint32_t taken = atomic_load(word(c, SQ_HEAD));
    uint32_t left = c->sq_tail - taken;
    for (uint32_t tag = 0; tag < ENTRIES; tag++) {
        struct slot *slot = &c->slots[tag];
        if (slot->state == SLOT_SENT) {
            slot->untaken = slot->index - taken < left;
            slot->result = -EIO;
            slot->state = SLOT_DONE;
        }
    }
    events_ended(c);
}

/* Take a message from the socket: 1 when there was one, 0 at the end, or a negated errno. */
static int64_t listen_once(struct connection *c, int flags)
{
    struct fds_message said;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(FDS_MOST * sizeof(int))];
    } control;
    struct iovec part = {&said, sizeof(said)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(c->socket, &message, flags | MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == ECONNRESET ? 0 : -errno;
    if (got == 0)
        return 0;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header)
        return got == 1; /* a BELL */
    int fds[FDS_MOST];
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(fds, CMSG_DATA(header), count * sizeof(int));
    bool good = got == sizeof(said) && said.count == count && said.tag < ENTRIES &&
                !(message.msg_flags & MSG_CTRUNC);
    if (good) {
        struct slot *slot = &c->slots[said.tag];
        if (slot->state == SLOT_SENT && !slot->fd_count) {
            memcpy(slot->fds, fds, count * sizeof(int));
            slot->fd_count = (int)count;
            return 1;
        }
    }
    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    return 0;
}

/* Take one answer; false when it is not allowed. */
static bool take_answer(struct connection *c, const struct cqe *cqe)
{
    unsigned kind = cqe->flags & 7;
    if (kind == SEND_FEVENT) {
        events_post(c, cqe->result, cqe->tag);
        return true;
    }
    if (cqe->tag >= ENTRIES)
        return false;
    struct slot *slot = &c->slots[cqe->tag];
    if (slot->state != SLOT_SENT)
        return false;
    bool is_error = cqe->result > (uint64_t)-4096;
    slot->new_flags = cqe->extra[0];
    if (!is_error && (kind == RESPOND_WITH_FD || kind == RESPOND_WITH_MULTIPLE_FDS)) {
        while (!slot->fd_count) {
            if (kind == RESPOND_WITH_MULTIPLE_FDS && cqe->result == 0)
                break;
            if (listen_once(c, MSG_DONTWAIT) <= 0)
                return false;
        }
        if (kind == RESPOND_WITH_FD && slot->fd_count != 1)
            return false;
    } else if (slot->fd_count) {
        return false; /* descriptors that the answer does not know of */
    }
    if (slot->opcode == OP_SENDFD)
        c->sending--;
    slot->result = (int64_t)cqe->result;
    slot->state = SLOT_DONE;
    return true;
}

/* Take all answers, as leader and with the lock held. */
static void reap(struct connection *c)
{
    uint32_t tail = atomic_load_explicit(word(c, CQ_TAIL), memory_order_acquire);
    bool good = tail - c->cq_head <= CQ_ENTRIES;
    while (good && c->cq_head != tail) {
        struct cqe cqe;
        memcpy(&cqe, c->memory + CQ_AT + (c->cq_head % CQ_ENTRIES) * sizeof(cqe), sizeof(cqe));
        c->cq_head++;
        good = take_answer(c, &cqe);
    }
    atomic_store_explicit(word(c, CQ_HEAD), c->cq_head, memory_order_release);
    if (!good)
        end(c);
    if (c->waiting)
        pthread_cond_broadcast(&c->moved);
}

static void step_down(struct connection *c)
{
    c->led = false;
    if (c->waiting)
        pthread_cond_broadcast(&c->moved);
    if (c->subscriptions)
        events_stir(c); /* the socket is nobody's now, and may have something to read */
}

/* Lead for one message.  Lock held; let go meanwhile.  EINTR when a signal came first. */
static int64_t lead_once(struct connection *c)
{
    c->led = true;
    pthread_mutex_unlock(&c->lock);
    int64_t heard = listen_once(c, 0);
    pthread_mutex_lock(&c->lock);
    reap(c);
    if (heard == 0 || (heard < 0 && heard != -EINTR))
        end(c);
    step_down(c);
    return heard == -EINTR ? -EINTR : 0;
}

/* Wait for something to move, as leader or behind one. */
static int64_t wait_once(struct connection *c)
{
    if (!c->led)
        return lead_once(c);
    c->waiting++;
    pthread_cond_wait(&c->moved, &c->lock);
    c->waiting--;
    return 0;
}

void connection_look(struct connection *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->led && !c->dead) {
        int64_t heard;
        while ((heard = listen_once(c, MSG_DONTWAIT)) == 1)
            ;
        reap(c);
        if (heard != -EAGAIN && heard != -EINTR)
            end(c);
    }
    pthread_mutex_unlock(&c->lock);
}

static struct sqe *next_sqe(struct connection *c, uint32_t keep)
{
    uint32_t used = c->sq_tail - atomic_load(word(c, SQ_HEAD));
    if (used + keep >= ENTRIES)
        return NULL;
    return (struct sqe *)(void *)(c->memory + SQ_AT + (c->sq_tail % ENTRIES) * sizeof(struct sqe));
}

static void publish(struct connection *c)
{
    c->sq_tail++;
    atomic_store_explicit(word(c, SQ_TAIL), c->sq_tail, memory_order_release);
    ring_bell(c);
}

static struct slot *free_slot(struct connection *c, const struct call *call)
{
    /* A quarter of the places is kept for cancels. */
    if (!next_sqe(c, ENTRIES / 4) || (call->fd_count && c->sending >= FDS_WAITING))
        return NULL;
    for (uint32_t tag = 0; tag < ENTRIES; tag++)
        if (c->slots[tag].state == SLOT_FREE)
            return &c->slots[tag];
    return NULL;
}

static int64_t send_fds(struct connection *c, uint32_t tag, const struct call *call)
{
    struct fds_message said = {tag, (uint32_t)call->fd_count};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(FDS_MOST * sizeof(int))];
    } control = {.room = {0}};
    size_t bytes = (size_t)call->fd_count * sizeof(int);
    struct iovec part = {&said, sizeof(said)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = CMSG_SPACE(bytes)};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(&control.header), call->fds, bytes);
    return sendmsg(c->socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int64_t submit(struct connection *c, struct slot *slot, const struct call *call)
{
    uint32_t tag = (uint32_t)(slot - c->slots);
    uint32_t place = tag * ROOM;
    if (call->fd_count) {
        int64_t failed = send_fds(c, tag, call);
        if (failed)
            return failed;
        c->sending++;
    }
    struct sqe *sqe = next_sqe(c, 0);
    *sqe = (struct sqe){.opcode = call->opcode, .tag = tag, .caller = (uint64_t)getpid()};
    memcpy(sqe->args, call->args, sizeof(sqe->args));
    if (call->has_buffer) {
        sqe->args[1] = place;
        sqe->args[2] = call->in_len > call->out_len ? call->in_len : call->out_len;
        if (call->in_len)
            memcpy(c->memory + ARENA_AT + place, call->in, call->in_len);
    }
    slot->opcode = call->opcode;
    slot->index = c->sq_tail;
    slot->fd_count = 0;
    slot->untaken = false;
    slot->state = SLOT_SENT;
    publish(c);
    return 0;
}

static void cancel(struct connection *c, const struct slot *slot)
{
    struct sqe *sqe = next_sqe(c, 0);
    if (!sqe)
        return; /* a daemon that lets this happen reads nothing; the call ends when it ends */
    *sqe = (struct sqe){.opcode = OP_CANCEL,
                        .flags = ONEWAY,
                        .tag = (uint32_t)(slot - c->slots),
                        .caller = (uint64_t)getpid()};
    publish(c);
}

/* Copy an answer out and free its slot. */
static int64_t finish(struct connection *c, struct slot *slot, struct call *call, bool cancelled)
{
    int64_t result = slot->result;
    const uint8_t *payload = c->memory + ARENA_AT + (size_t)(slot - c->slots) * ROOM;
    if (result >= 0 && call->out) {
        size_t len = call->out_whole ? call->out_len : (size_t)result;
        memcpy(call->out, payload, len < call->out_len ? len : call->out_len);
        if (!call->out_whole && len > call->out_len)
            result = -EPROTO;
    }
    call->new_flags = slot->new_flags;
    call->untaken = slot->untaken;
    call->got_count = 0;
    if (result >= 0 && call->got) {
        memcpy(call->got, slot->fds, (size_t)slot->fd_count * sizeof(int));
        call->got_count = slot->fd_count;
        slot->fd_count = 0;
    }
    close_fds(slot);
    slot->state = SLOT_FREE;
    if (c->waiting)
        pthread_cond_broadcast(&c->moved);
    /* Redox's numbers are Linux's, but for two; a cancelled call was interrupted. */
    if (result == -41)
        return -EAGAIN;
    if (result == -58)
        return -EDEADLK;
    if (cancelled && result == -ECANCELED)
        return -EINTR;
    return !cancelled && result == -EINTR ? -EIO : result;
}

int64_t connection_call(struct connection *c, struct call *call)
{
    if (call->in_len > ROOM || call->out_len > ROOM)
        return -E2BIG;
    pthread_mutex_lock(&c->lock);
    struct slot *slot = NULL;
    int64_t result = 0;
    while (!c->dead && !result && !(slot = free_slot(c, call)))
        result = wait_once(c);
    if (c->dead)
        result = -EIO;
    if (!result)
        result = submit(c, slot, call);
    if (!result) {
        bool cancelled = false;
        while (slot->state != SLOT_DONE) {
            /* Told once; the answer is waited for all the same, so that nothing in it is lost. */
            if (wait_once(c) == -EINTR && !cancelled && slot->state != SLOT_DONE) {
                cancelled = true;
                cancel(c, slot);
            }
        }
        result = finish(c, slot, call, cancelled);
    }
    pthread_mutex_unlock(&c->lock);
    return result;
}
