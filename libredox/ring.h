/*
 * The ring door as its client sees it: memory, messages, connections, open files.
 *
 * The memory's layout and the messages are described in redbear_host/ring/layout.py, which is the
 * contract; tests hold the numbers here to those.
 */
#ifndef REDBEAR_RING_H
#define REDBEAR_RING_H

#include "redox.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define PAGE 4096u
#define MAGIC 0x31424252u
#define VERSION 1
#define SQ_HEAD 64
#define SQ_TAIL 128
#define CQ_HEAD 192
#define CQ_TAIL 256
#define FDS_MOST 64
#define FDS_WAITING 16
#define PATH_MOST 4096

#define ENTRIES 64u               /* calls in hand per connection */
#define CQ_ENTRIES (2 * ENTRIES)
#define ROOM 65536u               /* bytes of the arena that each of them owns */
#define SQ_AT PAGE
#define CQ_AT (SQ_AT + ENTRIES * 64)
#define ARENA_AT (CQ_AT + PAGE)   /* 128 Cqes of 16 bytes fill half a page */
#define ARENA (ENTRIES * ROOM)
#define RING_BYTES (ARENA_AT + ARENA)

enum opcode {
    OP_CLOSE = 3,
    OP_DUP = 4,
    OP_READ = 5,
    OP_WRITE = 6,
    OP_FSIZE = 7,
    OP_FCHMOD = 8,
    OP_FCHOWN = 9,
    OP_FCNTL = 10,
    OP_FEVENT = 11,
    OP_SENDFD = 12,
    OP_FPATH = 13,
    OP_FRENAME = 14,
    OP_FSTAT = 15,
    OP_FSTATVFS = 16,
    OP_FSYNC = 17,
    OP_FTRUNCATE = 18,
    OP_FUTIMENS = 19,
    OP_MMAP_PREP = 20,
    OP_MUNMAP = 23,
    OP_CANCEL = 25,
    OP_GETDENTS = 26,
    OP_CALL = 28,
    OP_OPEN_AT = 29,
    OP_FLINK = 30,
    OP_RECVFD = 31,
    OP_UNLINK_AT = 32,
    OP_STD_FS_CALL = 33,
};

enum answer {
    RESPOND_REGULAR = 0,
    RESPOND_WITH_FD = 1,
    SEND_FEVENT = 2,
    RESPOND_WITH_MULTIPLE_FDS = 4,
};

#define ONEWAY 1
#define POSITIONED 1
#define NO_OFFSET UINT64_MAX
#define FCNTL_MASK (REDOX_O_NONBLOCK | REDOX_O_APPEND | REDOX_O_ASYNC | REDOX_O_FSYNC)

struct sqe {
    uint8_t opcode;
    uint8_t flags;
    uint16_t reserved;
    uint32_t tag;
    uint64_t args[6];
    uint64_t caller;
};

struct cqe {
    uint8_t flags;
    uint8_t extra[3];
    uint32_t tag;
    uint64_t result;
};

_Static_assert(sizeof(struct sqe) == 64, "an Sqe has 64 bytes");
_Static_assert(sizeof(struct cqe) == 16, "a Cqe has 16 bytes");
_Static_assert(sizeof(struct redox_stat) == 104, "a Stat has 104 bytes");
_Static_assert(sizeof(struct redox_statvfs) == 32, "a StatVfs has 32 bytes");
_Static_assert(sizeof(struct redox_dirent) == 19, "a directory header has 19 bytes");

enum slot_state { SLOT_FREE, SLOT_SENT, SLOT_DONE };

struct slot {
    enum slot_state state;
    uint8_t opcode;
    uint8_t new_flags;
    bool untaken;             /* the connection ended before the daemon had seen the call */
    uint32_t index;           /* place in the submission ring */
    int64_t result;           /* a value, or a negated errno */
    int fd_count;
    int fds[FDS_MOST];
};

struct subscription;
struct queue;

struct connection {
    char *name;
    int socket;
    int bell;
    uint8_t *memory;
    pthread_mutex_t lock;
    pthread_cond_t moved;     /* an answer was taken, or nobody leads any more */
    int waiting;              /* threads on `moved` */
    bool led;                 /* a thread reads the socket; only it takes answers */
    bool dead;
    int users;                /* open files and the registry; under the registry's lock */
    uint32_t sq_tail;
    uint32_t cq_head;
    int sending;              /* calls in hand that brought descriptors */
    struct slot slots[ENTRIES];
    struct subscription *_Atomic subscriptions; /* changed under the lock of events.c */
    struct connection *next;
};

/* What a call is; `result` and what follows come back. */
struct call {
    uint8_t opcode;
    bool has_buffer;          /* args[1] and args[2] are the payload's place and size */
    uint64_t args[6];
    const void *in;
    size_t in_len;
    void *out;                /* gets `result` bytes, or all `out_len` with `out_whole` */
    size_t out_len;
    bool out_whole;
    const int *fds;           /* to send */
    int fd_count;
    uint8_t new_flags;
    bool untaken;
    int *got;                 /* FDS_MOST descriptors that came back */
    int got_count;
};

/* One open file description. */
struct file {
    atomic_int users;
    struct connection *connection; /* NULL: the list of schemes */
    uint64_t handle;
    _Atomic uint32_t flags;
    bool positioned;
    _Atomic uint64_t offset;
};

/* connection.c */
int64_t connection_get(const char *name, struct connection **connection);
void connection_use(struct connection *connection);
void connection_put(struct connection *connection);
int64_t connection_call(struct connection *connection, struct call *call);
void connection_look(struct connection *connection);

/* dial.c */
int64_t dial(struct connection *connection);
const char *rings_folder(void);

/* table.c */
size_t table_add(struct file *file);
struct file *table_get(size_t fd);          /* with a use of it; NULL when it is not ours */
void file_put(struct file *file);
size_t table_remove(size_t fd);
void table_forget(size_t fd);
size_t table_replace(size_t fd, struct file *file);
struct file *file_new(struct connection *connection, uint64_t handle, uint32_t flags,
                      uint8_t new_flags);

/* path.c */
int path_parse(const char *path, size_t len, char scheme[256], char rest[PATH_MOST + 1]);

/* events.c */
void events_post(struct connection *connection, uint64_t handle, uint32_t flags);
void events_ended(struct connection *connection);
void events_stir(struct connection *connection);
void events_forget(struct file *file);

static inline size_t as_size(int64_t result)
{
    return (size_t)result;
}

/* What Linux's call returned. */
static inline size_t from_linux(long result)
{
    return result < 0 ? (size_t)-errno : (size_t)result;
}

#endif
