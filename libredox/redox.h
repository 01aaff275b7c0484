/*
 * libredox: Redox's calls for programs on Linux, over the ring door of redbear-host.
 *
 * Results are as Redox's: a value, or a negated errno of Linux's (`redox_is_error`).  Descriptors
 * are numbers that no Linux descriptor of the program has; where a scheme hands out a Linux
 * descriptor, its number is that descriptor, and every call here also works on any other.
 * Thread-safe.  A child after fork() has none of its parent's handles (EIO) and may open its own.
 *
 * What each symbol does, and which answer ENOSYS: docs/libredox.md.
 */
#ifndef REDOX_H
#define REDOX_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define REDOX_API __attribute__((visibility("default")))

static inline int redox_is_error(size_t result)
{
    return result > (size_t)-4096;
}

static inline int redox_errno(size_t result)
{
    return redox_is_error(result) ? (int)-(intptr_t)result : 0;
}

#define REDOX_O_RDONLY 0x00010000u
#define REDOX_O_WRONLY 0x00020000u
#define REDOX_O_RDWR 0x00030000u
#define REDOX_O_NONBLOCK 0x00040000u
#define REDOX_O_APPEND 0x00080000u
#define REDOX_O_SHLOCK 0x00100000u
#define REDOX_O_EXLOCK 0x00200000u
#define REDOX_O_ASYNC 0x00400000u
#define REDOX_O_FSYNC 0x00800000u
#define REDOX_O_CLOEXEC 0x01000000u
#define REDOX_O_CREAT 0x02000000u
#define REDOX_O_TRUNC 0x04000000u
#define REDOX_O_EXCL 0x08000000u
#define REDOX_O_DIRECTORY 0x10000000u
#define REDOX_O_STAT 0x20000000u
#define REDOX_O_SYMLINK 0x40000000u
#define REDOX_O_NOFOLLOW 0x80000000u

#define REDOX_AT_REMOVEDIR 0x200u

#define REDOX_PROT_EXEC 1u
#define REDOX_PROT_WRITE 2u
#define REDOX_PROT_READ 4u
#define REDOX_MAP_SHARED 0x1u
#define REDOX_MAP_PRIVATE 0x2u
#define REDOX_MAP_FIXED 0x4u
#define REDOX_MAP_FIXED_NOREPLACE 0xCu

#define REDOX_EVENT_READ 1u
#define REDOX_EVENT_WRITE 2u

#define REDOX_CALL_CONSUME (1u << 8)
#define REDOX_CALL_WRITE (1u << 9)
#define REDOX_CALL_READ (1u << 10)
#define REDOX_CALL_FD (1u << 11)
#define REDOX_CALL_FD_EXCLUSIVE (1u << 12)
#define REDOX_CALL_FD_CLONE (1u << 13)
#define REDOX_CALL_FD_UPPER (1u << 14)
#define REDOX_CALL_FD_CLOEXEC (1u << 15)
#define REDOX_CALL_STD_FS (1u << 16)

#define REDOX_F_DUPFD 0
#define REDOX_F_GETFD 1
#define REDOX_F_SETFD 2
#define REDOX_F_GETFL 3
#define REDOX_F_SETFL 4

#define REDOX_CLOCK_REALTIME 1
#define REDOX_CLOCK_MONOTONIC 4

struct redox_stat {
    uint64_t st_dev;
    uint64_t st_ino;
    uint16_t st_mode;
    uint32_t st_nlink;
    uint32_t st_uid;
    uint32_t st_gid;
    uint64_t st_size;
    uint32_t st_blksize;
    uint64_t st_blocks; /* of st_blksize bytes */
    uint64_t st_mtime_sec;
    uint32_t st_mtime_nsec;
    uint64_t st_atime_sec;
    uint32_t st_atime_nsec;
    uint64_t st_ctime_sec;
    uint32_t st_ctime_nsec;
};

struct redox_statvfs {
    uint32_t f_bsize;
    uint64_t f_blocks;
    uint64_t f_bfree;
    uint64_t f_bavail;
};

/* One entry of getdents: this header, the name, a NUL, zeroes up to a multiple of 8. */
struct __attribute__((packed)) redox_dirent {
    uint64_t inode;
    uint64_t next_opaque_id; /* where the next getdents goes on */
    uint16_t record_len;
    uint8_t kind;
    char name[];
};

struct redox_raw_event_v1 {
    size_t fd;
    size_t user_data;
    uint32_t flags;
};

/* Names and files. */
REDOX_API size_t redox_open_v1(const char *path, size_t len, uint32_t flags, uint16_t mode);
REDOX_API size_t redox_openat_v1(size_t fd, const char *path, size_t len, uint32_t flags,
                                 uint32_t fcntl_flags);
REDOX_API size_t redox_dup_v1(size_t fd, const void *buf, size_t len);
REDOX_API size_t redox_dup2_v1(size_t old_fd, size_t new_fd, const void *buf, size_t len);
REDOX_API size_t redox_close_v1(size_t fd);
REDOX_API size_t redox_read_v1(size_t fd, void *buf, size_t len);
REDOX_API size_t redox_write_v1(size_t fd, const void *buf, size_t len);
REDOX_API size_t redox_fchmod_v1(size_t fd, uint16_t mode);
REDOX_API size_t redox_fchown_v1(size_t fd, uint32_t uid, uint32_t gid);
REDOX_API size_t redox_getdents_v0(size_t fd, void *buf, size_t len, uint64_t opaque);
REDOX_API size_t redox_fstat_v1(size_t fd, struct redox_stat *stat);
REDOX_API size_t redox_fstatvfs_v1(size_t fd, struct redox_statvfs *stat);
REDOX_API size_t redox_fsync_v1(size_t fd);
REDOX_API size_t redox_fdatasync_v1(size_t fd);
REDOX_API size_t redox_ftruncate_v0(size_t fd, size_t len);
REDOX_API size_t redox_futimens_v1(size_t fd, const struct timespec times[2]);
REDOX_API size_t redox_unlinkat_v0(size_t fd, const char *path, size_t len, uint32_t flags);
REDOX_API size_t redox_fpath_v1(size_t fd, void *buf, size_t len);
REDOX_API size_t redox_fcntl_v0(size_t fd, size_t command, size_t argument);
REDOX_API size_t redox_sys_call_v0(size_t fd, void *payload, size_t len, size_t flags,
                                   const uint64_t *metadata, size_t metadata_len);

/* On Redox these are libc's. */
REDOX_API size_t redbear_lseek(size_t fd, int64_t offset, int whence);
REDOX_API size_t redbear_frename(size_t fd, const char *path, size_t len);
REDOX_API size_t redbear_flink(size_t fd, const char *path, size_t len);

/* Memory. */
REDOX_API size_t redox_mmap_v1(void *addr, size_t len, uint32_t prot, uint32_t flags, size_t fd,
                               uint64_t offset);
REDOX_API size_t redox_munmap_v1(void *addr, size_t len);

/* Events.  A queue is a Linux descriptor, which poll() takes too. */
REDOX_API size_t redox_event_queue_create_v1(uint32_t flags);
REDOX_API size_t redox_event_queue_get_events_v1(size_t queue, struct redox_raw_event_v1 *events,
                                                 size_t count, uint32_t flags,
                                                 const struct timespec *timeout,
                                                 const sigset_t *mask);
REDOX_API size_t redox_event_queue_ctl_v1(size_t queue, size_t fd, uint32_t flags,
                                          size_t user_data);
REDOX_API size_t redox_event_queue_destroy_v1(size_t queue);

/* The process: Linux's own, by Redox's names. */
REDOX_API size_t redox_get_pid_v1(void);
REDOX_API size_t redox_get_euid_v1(void);
REDOX_API size_t redox_get_ruid_v1(void);
REDOX_API size_t redox_get_egid_v1(void);
REDOX_API size_t redox_get_rgid_v1(void);
REDOX_API size_t redox_kill_v1(size_t pid, uint32_t signal);
REDOX_API size_t redox_waitpid_v1(size_t pid, int *status, uint32_t options);
REDOX_API size_t redox_sigprocmask_v1(uint32_t how, const uint64_t *set, uint64_t *old);
REDOX_API size_t redox_sigaction_v1(uint32_t signal, const struct sigaction *action,
                                    struct sigaction *old);
REDOX_API size_t redox_clock_gettime_v1(size_t clock, struct timespec *time);
REDOX_API size_t redox_futex_wait_v0(uint32_t *word, uint32_t value,
                                     const struct timespec *deadline);
REDOX_API size_t redox_futex_wake_v0(uint32_t *word, uint32_t count);
REDOX_API size_t redox_strerror_v1(char *buf, size_t *len, uint32_t number);

/* ENOSYS, each for a reason that docs/libredox.md gives. */
REDOX_API size_t redox_get_ens_v0(void);
REDOX_API size_t redox_get_ns_v0(void);
REDOX_API size_t redox_setrens_v1(size_t rns, size_t ens);
REDOX_API size_t redox_mkns_v1(const struct iovec *names, size_t count, size_t flags);
REDOX_API size_t redox_setns_v0(size_t fd);
REDOX_API size_t redox_register_scheme_to_ns_v0(size_t ns, const char *name, size_t len,
                                                size_t cap_fd);
REDOX_API size_t redox_get_proc_credentials_v1(size_t cap_fd, size_t pid, void *buf, size_t len);
REDOX_API size_t redox_sys_call_multiple_v0(const size_t *fds, size_t count, void *payload,
                                            size_t len, size_t flags, const uint64_t *metadata,
                                            size_t metadata_len);
REDOX_API size_t redox_get_socket_token_v0(size_t fd, void *buf, size_t len);
REDOX_API size_t redox_relpathat_v0(size_t fd, const char *path, size_t len, void *buf,
                                    size_t buf_len);
REDOX_API size_t redox_cur_procfd_v0(void);
REDOX_API size_t redox_cur_thrfd_v0(void);

#ifdef __cplusplus
}
#endif

#endif
