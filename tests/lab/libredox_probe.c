/* Uses libredox as a program would; says what failed and exits with 1, or exits with 0.
 *
 * libredox_probe bench|restart|threads    the scheme of redox_served.py
 * libredox_probe liar                     prints the errno of an open of that scheme
 * libredox_probe real                     schemes of a running instance
 */
#define _GNU_SOURCE
#include "redox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define FAILS(number, result) CHECK(redox_errno(result) == (number))

static size_t open_path(const char *path, uint32_t flags)
{
    return redox_open_v1(path, strlen(path), flags, 0640);
}

static size_t opened(const char *path, uint32_t flags)
{
    size_t fd = open_path(path, flags);
    if (redox_is_error(fd)) {
        fprintf(stderr, "%s: %s\n", path, strerror(redox_errno(fd)));
        exit(1);
    }
    return fd;
}

static void files(void)
{
    char buf[256];
    struct redox_stat stat;
    struct redox_statvfs vfs;
    struct timespec times[2] = {{1, 2}, {3, 4}};
    size_t fd = opened("/scheme/bench/hello", REDOX_O_RDWR);
    CHECK(redox_read_v1(fd, buf, 5) == 5 && memcmp(buf, "hello", 5) == 0);
    CHECK(redbear_lseek(fd, -4, SEEK_END) == 7);
    CHECK(redox_write_v1(fd, "RING", 4) == 4);
    CHECK(redbear_lseek(fd, 0, SEEK_SET) == 0);
    CHECK(redox_read_v1(fd, buf, sizeof(buf)) == 11 && memcmp(buf, "hello, RING", 11) == 0);
    CHECK(redox_read_v1(fd, buf, sizeof(buf)) == 0);
    CHECK(redox_fstat_v1(fd, &stat) == 0 && stat.st_size == 11 && stat.st_uid == 7);
    CHECK(redox_fstatvfs_v1(fd, &vfs) == 0 && vfs.f_bavail == 7);
    CHECK(redox_fchmod_v1(fd, 0600) == 0);
    CHECK(redox_fstat_v1(fd, &stat) == 0 && (stat.st_mode & 07777) == 0600);
    FAILS(EOPNOTSUPP, redox_fchown_v1(fd, 1, 2));
    FAILS(EBADF, redox_futimens_v1(fd, times));
    CHECK(redox_ftruncate_v0(fd, 5) == 0);
    CHECK(redox_fsync_v1(fd) == 0 && redox_fdatasync_v1(fd) == 0);
    CHECK(redox_fcntl_v0(fd, REDOX_F_SETFL, REDOX_O_APPEND) == 0);
    CHECK(redox_fcntl_v0(fd, REDOX_F_GETFL, 0) & REDOX_O_APPEND);
    CHECK(redbear_lseek(fd, 0, SEEK_SET) == 0);
    CHECK(redox_write_v1(fd, "!", 1) == 1);
    CHECK(redbear_lseek(fd, 0, SEEK_CUR) == 6);
    size_t len = redox_fpath_v1(fd, buf, sizeof(buf));
    CHECK(len == 19 && memcmp(buf, "/scheme/bench/hello", 19) == 0);
    FAILS(EXDEV, redbear_frename(fd, "/scheme/rand/x", 14));
    size_t twin = redox_dup_v1(fd, NULL, 0);
    CHECK(redbear_lseek(twin, 0, SEEK_CUR) == 6);
    size_t named = redox_dup_v1(fd, "listen", 6);
    CHECK(redox_read_v1(named, buf, 64) == 16 && memcmp(buf, "dup:hello:listen", 16) == 0);
    CHECK(redox_dup2_v1(fd, named, NULL, 0) == named);
    CHECK(redbear_lseek(named, 0, SEEK_CUR) == 6);
    CHECK(redox_close_v1(named) == 0 && redox_close_v1(twin) == 0 && redox_close_v1(fd) == 0);
    FAILS(EBADF, redox_read_v1(fd, buf, 1));
    FAILS(EBADF, redox_close_v1(fd));
}

static void names(void)
{
    char buf[256];
    char longest[4200];
    size_t made = open_path("bench:made", REDOX_O_RDWR | REDOX_O_CREAT);
    struct redox_stat stat;
    CHECK(redox_fstat_v1(made, &stat) == 0 && (stat.st_mode & 07777) == 0640);
    CHECK(redbear_frename(made, "bench:moved", 11) == 0);
    CHECK(redox_close_v1(made) == 0);
    size_t root = opened("bench:", REDOX_O_RDONLY);
    size_t len = redox_getdents_v0(root, buf, 32, 0);
    CHECK(len == 32);
    struct redox_dirent *entry = (struct redox_dirent *)buf;
    CHECK(strcmp(entry->name, "hello") == 0 && entry->kind == 8);
    len = redox_getdents_v0(root, buf, sizeof(buf), entry->next_opaque_id);
    CHECK(len == 32 && strcmp(entry->name, "moved") == 0);
    size_t moved = redox_openat_v1(root, "moved", 5, REDOX_O_RDONLY, 0);
    CHECK(!redox_is_error(moved) && redox_close_v1(moved) == 0);
    CHECK(redox_unlinkat_v0(root, "moved", 5, 0) == 0);
    FAILS(ENOENT, redox_unlinkat_v0(root, "moved", 5, 0));
    CHECK(redox_close_v1(root) == 0);
    size_t list = opened("/scheme", REDOX_O_RDONLY);
    len = redox_getdents_v0(list, buf, sizeof(buf), 0);
    CHECK(len == 32 && strcmp(entry->name, "bench") == 0);
    CHECK(redox_getdents_v0(list, buf, sizeof(buf), 1) == 0);
    size_t hello = redox_openat_v1(list, "bench/hello", 11, REDOX_O_RDONLY, 0);
    CHECK(!redox_is_error(hello) && redox_close_v1(hello) == 0);
    CHECK(redox_close_v1(list) == 0);
    CHECK(redox_close_v1(opened("/scheme/./x/../bench//hello", REDOX_O_RDONLY)) == 0);
    CHECK(redox_close_v1(opened(":bench", REDOX_O_RDONLY)) == 0);
    memset(longest, 'x', sizeof(longest));
    FAILS(ENODEV, open_path("/scheme/nobody/x", REDOX_O_RDONLY));
    FAILS(ENODEV, open_path("/etc/passwd", REDOX_O_RDONLY));
    FAILS(ENOENT, open_path("bench:nothing", REDOX_O_RDONLY));
    FAILS(ENAMETOOLONG, redox_open_v1(longest, 4097, REDOX_O_RDONLY, 0));
    FAILS(EINVAL, redox_open_v1("bench:a\0b", 9, REDOX_O_RDONLY, 0));
    FAILS(EINVAL, open_path("/scheme/:b/c", REDOX_O_RDONLY));
    FAILS(ENODEV, open_path("/scheme/nobody:b/c", REDOX_O_RDONLY));
}

static void calls_and_descriptors(void)
{
    char payload[] = "abc";
    uint64_t metadata[4] = {1, 2, 3, 4};
    int ends[2];
    size_t fd = opened("bench:box", REDOX_O_RDWR);
    CHECK(redox_sys_call_v0(fd, payload, 3, REDOX_CALL_READ | REDOX_CALL_WRITE, metadata, 3) == 6);
    CHECK(strcmp(payload, "cba") == 0);
    CHECK(redox_sys_call_v0(fd, payload, 3, REDOX_CALL_WRITE, metadata, 1) == 1);
    CHECK(strcmp(payload, "cba") == 0);
    FAILS(EINVAL, redox_sys_call_v0(fd, payload, 3, 0, metadata, 4));
    CHECK(pipe(ends) == 0);
    size_t numbers[2] = {(size_t)ends[0], fd};
    metadata[0] = 40;
    FAILS(EOPNOTSUPP, redox_sys_call_v0(fd, &numbers[1], sizeof(size_t),
                                        REDOX_CALL_FD | REDOX_CALL_WRITE, metadata, 1));
    CHECK(redox_sys_call_v0(fd, numbers, sizeof(size_t), REDOX_CALL_FD | REDOX_CALL_WRITE,
                            metadata, 1) == 41);
    CHECK(close(ends[0]) < 0); /* moved, not copied */
    CHECK(redox_sys_call_v0(fd, numbers, sizeof(numbers), REDOX_CALL_FD | REDOX_CALL_READ, NULL,
                            0) == 1);
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(redox_read_v1(numbers[0], payload, 1) == 1 && payload[0] == 'x');
    CHECK(redox_close_v1(numbers[0]) == 0 && close(ends[1]) == 0);
    size_t foreign = opened("bench:foreign", REDOX_O_RDONLY);
    CHECK(read((int)foreign, payload, 4) == 4 && memcmp(payload, "from", 4) == 0);
    CHECK(fcntl((int)foreign, F_GETFD) == FD_CLOEXEC);
    CHECK(redox_close_v1(foreign) == 0 && redox_close_v1(fd) == 0);
}

static void memory(void)
{
    char said[256] = "";
    size_t fd = opened("bench:hello", REDOX_O_RDWR);
    char *ours = (char *)redox_mmap_v1(NULL, 4096, REDOX_PROT_READ | REDOX_PROT_WRITE,
                                       REDOX_MAP_SHARED, fd, 4096);
    char *theirs = (char *)redox_mmap_v1(NULL, 8192, REDOX_PROT_READ, REDOX_MAP_SHARED, fd, 0);
    CHECK(!redox_is_error((size_t)ours) && !redox_is_error((size_t)theirs));
    CHECK(memcmp(ours, "mapped", 6) == 0);
    ours[6] = '!';
    CHECK(theirs[4096 + 6] == '!');
    CHECK(redox_munmap_v1(ours, 4096) == 0 && redox_munmap_v1(theirs, 8192) == 0);
    char *blank = (char *)redox_mmap_v1(NULL, 4096, REDOX_PROT_READ | REDOX_PROT_WRITE,
                                        REDOX_MAP_PRIVATE, (size_t)-1, 0);
    CHECK(!redox_is_error((size_t)blank) && blank[4095] == 0);
    CHECK(redox_munmap_v1(blank, 4096) == 0 && redox_close_v1(fd) == 0);
    size_t box = opened("bench:box", REDOX_O_RDONLY);
    CHECK(!redox_is_error(redox_read_v1(box, said, sizeof(said) - 1)));
    CHECK(strstr(said, "unmapped 4096+4096") != NULL);
    CHECK(redox_close_v1(box) == 0);
}

static void *post(void *mail)
{
    CHECK(redox_write_v1(*(size_t *)mail, "two", 3) == 3);
    return NULL;
}

static void events(void)
{
    char buf[16];
    struct redox_raw_event_v1 event[4];
    struct timespec no_time = {0, 0};
    struct timespec some_time = {10, 0};
    pthread_t writer;
    int ends[2];
    size_t mail = opened("bench:mail", REDOX_O_RDWR | REDOX_O_NONBLOCK);
    FAILS(EAGAIN, redox_read_v1(mail, buf, 1));
    size_t queue = redox_event_queue_create_v1(0);
    CHECK(redox_event_queue_ctl_v1(queue, mail, REDOX_EVENT_READ, 77) == 0);
    CHECK(redox_event_queue_get_events_v1(queue, event, 4, 0, &no_time, NULL) == 0);
    CHECK(redox_write_v1(mail, "one", 3) == 3);
    CHECK(redox_event_queue_get_events_v1(queue, event, 4, 0, &some_time, NULL) == 1);
    CHECK(event[0].fd == mail && event[0].user_data == 77 && event[0].flags == REDOX_EVENT_READ);
    CHECK(redox_read_v1(mail, buf, 16) == 3);
    CHECK(pthread_create(&writer, NULL, post, &mail) == 0);
    CHECK(redox_event_queue_get_events_v1(queue, event, 4, 0, NULL, NULL) == 1);
    CHECK(pthread_join(writer, NULL) == 0);
    struct pollfd idle = {.fd = (int)queue, .events = POLLIN};
    CHECK(pipe(ends) == 0);
    CHECK(redox_event_queue_ctl_v1(queue, (size_t)ends[0], REDOX_EVENT_READ, 78) == 0);
    while (redox_event_queue_get_events_v1(queue, event, 4, 0, &no_time, NULL) > 0)
        ;
    CHECK(poll(&idle, 1, 0) == 0);
    CHECK(write(ends[1], "x", 1) == 1 && poll(&idle, 1, 10000) == 1);
    CHECK(redox_event_queue_get_events_v1(queue, event, 4, 0, &some_time, NULL) == 1);
    CHECK(event[0].fd == (size_t)ends[0] && event[0].user_data == 78);
    CHECK(redox_event_queue_ctl_v1(queue, mail, 0, 0) == 0);
    FAILS(ENOENT, redox_event_queue_ctl_v1(queue, mail, 0, 0));
    CHECK(redox_event_queue_destroy_v1(queue) == 0);
    FAILS(EBADF, redox_event_queue_destroy_v1(queue));
    CHECK(redox_close_v1(mail) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
}

static void on_alarm(int number)
{
    (void)number;
}

static void signals(void)
{
    char buf[256] = "";
    struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    CHECK(redox_sigaction_v1(SIGALRM, &action, NULL) == 0);
    size_t never = opened("bench:never", REDOX_O_RDONLY);
    ualarm(100000, 0);
    FAILS(EINTR, redox_read_v1(never, buf, 1));
    size_t box = opened("bench:box", REDOX_O_RDONLY);
    CHECK(!redox_is_error(redox_read_v1(box, buf, sizeof(buf) - 1)));
    CHECK(strstr(buf, "cancelled 1") != NULL);
    CHECK(redox_close_v1(box) == 0 && redox_close_v1(never) == 0);
}

static void process(void)
{
    struct timespec now;
    char text[8];
    size_t len = sizeof(text);
    uint64_t set = 1u << (SIGUSR1 - 1);
    uint64_t old = 0;
    uint32_t word = 5;
    int status;
    CHECK(redox_get_pid_v1() == (size_t)getpid() && redox_get_euid_v1() == geteuid());
    CHECK(redox_get_ruid_v1() == getuid() && redox_get_egid_v1() == getegid());
    CHECK(redox_get_rgid_v1() == getgid());
    CHECK(redox_clock_gettime_v1(REDOX_CLOCK_MONOTONIC, &now) == 0 && now.tv_sec > 0);
    FAILS(EINVAL, redox_clock_gettime_v1(0, &now));
    CHECK(redox_sigprocmask_v1(SIG_BLOCK, &set, &old) == 0 && !(old & set));
    CHECK(redox_sigprocmask_v1(SIG_UNBLOCK, &set, &old) == 0 && old & set);
    FAILS(ETIMEDOUT, redox_futex_wait_v0(&word, 5, &now));
    FAILS(EAGAIN, redox_futex_wait_v0(&word, 6, NULL));
    CHECK(redox_futex_wake_v0(&word, 1) == 0);
    CHECK(redox_strerror_v1(text, &len, ENOENT) == 0 && len == strlen("No such file or directory"));
    CHECK(memcmp(text, "No such ", 8) == 0);
    FAILS(ESRCH, redox_kill_v1(0x7FFFFFF, 0));
    size_t fd = opened("bench:hello", REDOX_O_RDONLY);
    pid_t child = fork();
    if (child == 0) { /* none of the parent's handles, but its own */
        size_t own = open_path("bench:hello", REDOX_O_RDONLY);
        bool good = redox_errno(redox_read_v1(fd, text, 1)) == EIO &&
                    redox_read_v1(own, text, 5) == 5;
        _exit(good ? 7 : 8);
    }
    CHECK(redox_waitpid_v1((size_t)child, &status, 0) == (size_t)child);
    CHECK(WEXITSTATUS(status) == 7);
    CHECK(redox_read_v1(fd, text, 5) == 5 && redox_close_v1(fd) == 0);
    FAILS(ENOSYS, redox_setrens_v1(0, 0));
    FAILS(ENOSYS, redox_cur_thrfd_v0());
}

/* A line on stdin says that the daemon was killed and started anew. */
static void restart(void)
{
    char buf[16];
    struct redox_raw_event_v1 event;
    size_t fd = opened("bench:hello", REDOX_O_RDONLY);
    size_t queue = redox_event_queue_create_v1(0);
    CHECK(redox_event_queue_ctl_v1(queue, fd, REDOX_EVENT_READ, 1) == 0);
    puts("ready");
    fflush(stdout);
    CHECK(fgets(buf, sizeof(buf), stdin) != NULL);
    CHECK(redox_event_queue_get_events_v1(queue, &event, 1, 0, NULL, NULL) == 1);
    FAILS(EIO, redox_read_v1(fd, buf, 1));
    size_t anew = opened("bench:hello", REDOX_O_RDONLY);
    CHECK(redox_read_v1(anew, buf, 5) == 5);
    FAILS(EIO, redox_read_v1(fd, buf, 1));
    CHECK(redox_close_v1(fd) == 0 && redox_close_v1(anew) == 0);
    CHECK(redox_event_queue_destroy_v1(queue) == 0);
}

static void *stat_often(void *unused)
{
    struct redox_stat stat;
    (void)unused;
    size_t fd = opened("bench:hello", REDOX_O_RDONLY);
    for (int i = 0; i < 300; i++)
        CHECK(redox_fstat_v1(fd, &stat) == 0 && stat.st_uid == 7);
    CHECK(redox_close_v1(fd) == 0);
    return NULL;
}

static void *read_mail(void *mail)
{
    char buf[8];
    CHECK(redox_read_v1(*(size_t *)mail, buf, 8) == 1);
    return NULL;
}

static void threads(void)
{
    pthread_t workers[8];
    pthread_t readers[8];
    size_t mail = opened("bench:mail", REDOX_O_RDWR);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&readers[i], NULL, read_mail, &mail) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&workers[i], NULL, stat_often, NULL) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(workers[i], NULL) == 0);
    for (int i = 0; i < 8; i++)
        CHECK(redox_write_v1(mail, "x", 1) == 1);
    for (int i = 0; i < 8; i++)
        CHECK(pthread_join(readers[i], NULL) == 0);
    CHECK(redox_close_v1(mail) == 0);
}

/* What shipped schemes answer, those that exist. */
static void real(void)
{
    unsigned char bytes[64] = {0};
    char path[64];
    struct redox_stat stat;
    size_t rand = opened("/scheme/rand", REDOX_O_RDONLY);
    CHECK(redox_read_v1(rand, bytes, 64) == 64);
    int sum = 0;
    for (int i = 0; i < 64; i++)
        sum |= bytes[i];
    CHECK(sum != 0 && redox_close_v1(rand) == 0);
    size_t zero = opened("zero:", REDOX_O_RDWR);
    CHECK(redox_read_v1(zero, bytes, 64) == 64 && bytes[0] == 0 && bytes[63] == 0);
    CHECK(redox_fstat_v1(zero, &stat) == 0 && (stat.st_mode & 0xF000) == 0x2000);
    CHECK(redox_fpath_v1(zero, path, sizeof(path)) >= 12 && memcmp(path, "/scheme/zero", 12) == 0);
    CHECK(redox_close_v1(zero) == 0);

    size_t file = redox_open_v1("/scheme/ramfs/probe", 19,
                                REDOX_O_RDWR | REDOX_O_CREAT | REDOX_O_EXCL, 0600);
    CHECK(!redox_is_error(file) && redox_write_v1(file, "in memory", 9) == 9);
    FAILS(EEXIST, redox_open_v1("/scheme/ramfs/probe", 19,
                                REDOX_O_RDWR | REDOX_O_CREAT | REDOX_O_EXCL, 0600));
    CHECK(redbear_lseek(file, 3, SEEK_SET) == 3 && redox_read_v1(file, path, 64) == 6);
    CHECK(memcmp(path, "memory", 6) == 0 && redox_close_v1(file) == 0);
    size_t root = opened("ramfs:", REDOX_O_RDONLY | REDOX_O_DIRECTORY);
    CHECK(redox_unlinkat_v0(root, "probe", 5, 0) == 0 && redox_close_v1(root) == 0);

    struct timespec late;
    struct {
        int64_t sec;
        int32_t nsec;
        int32_t pad;
    } now = {0, 0, 0};
    struct redox_raw_event_v1 event;
    size_t clock = opened("/scheme/time/4", REDOX_O_RDWR);
    CHECK(redox_read_v1(clock, &now, 16) == 16 && now.sec > 0);
    CHECK(redox_clock_gettime_v1(REDOX_CLOCK_MONOTONIC, &late) == 0 && late.tv_sec >= now.sec);
    size_t queue = redox_event_queue_create_v1(0);
    CHECK(redox_event_queue_ctl_v1(queue, clock, REDOX_EVENT_READ, 3) == 0);
    struct timespec no_time = {0, 0};
    while (redox_event_queue_get_events_v1(queue, &event, 1, 0, &no_time, NULL) == 1)
        ;
    now.nsec += 100000000;
    now.sec += now.nsec / 1000000000;
    now.nsec %= 1000000000;
    CHECK(redox_write_v1(clock, &now, 16) == 16);
    CHECK(redox_event_queue_get_events_v1(queue, &event, 1, 0, NULL, NULL) == 1);
    CHECK(event.user_data == 3 && redox_close_v1(clock) == 0);

    size_t reader = opened("pipe:", REDOX_O_RDONLY);
    size_t writer = redox_dup_v1(reader, "write", 5);
    CHECK(!redox_is_error(writer) && redox_write_v1(writer, "down the pipe", 13) == 13);
    CHECK(redox_read_v1(reader, path, 64) == 13 && memcmp(path, "down", 4) == 0);
    CHECK(redox_close_v1(writer) == 0 && redox_read_v1(reader, path, 64) == 0);
    CHECK(redox_close_v1(reader) == 0);

    size_t listener = opened("chan:probe", REDOX_O_RDWR | REDOX_O_CREAT | REDOX_O_NONBLOCK);
    CHECK(redox_event_queue_ctl_v1(queue, listener, REDOX_EVENT_READ, 5) == 0);
    size_t caller = opened("chan:probe", REDOX_O_RDWR);
    CHECK(redox_event_queue_get_events_v1(queue, &event, 1, 0, NULL, NULL) == 1);
    CHECK(event.fd == listener);
    size_t served = redox_dup_v1(listener, "listen", 6);
    CHECK(!redox_is_error(served) && redox_write_v1(caller, "hello", 5) == 5);
    CHECK(redox_read_v1(served, path, 64) == 5 && memcmp(path, "hello", 5) == 0);
    CHECK(redox_close_v1(caller) == 0 && redox_close_v1(served) == 0);
    CHECK(redox_close_v1(listener) == 0 && redox_event_queue_destroy_v1(queue) == 0);

    char *memory = (char *)-1;
    size_t mem = opened("memory:", REDOX_O_RDWR);
    memory = (char *)redox_mmap_v1(NULL, 8192, REDOX_PROT_READ | REDOX_PROT_WRITE,
                                   REDOX_MAP_SHARED, mem, 0);
    CHECK(!redox_is_error((size_t)memory) && memory[8191] == 0);
    memory[0] = 1;
    CHECK(redox_munmap_v1(memory, 8192) == 0 && redox_close_v1(mem) == 0);

    size_t pci = opened("pci:lspci", REDOX_O_RDONLY);
    CHECK(redox_read_v1(pci, path, 64) > 0 && redox_close_v1(pci) == 0);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "bench") == 0) {
        files();
        names();
        calls_and_descriptors();
        memory();
        events();
        signals();
        process();
    } else if (strcmp(what, "restart") == 0) {
        restart();
    } else if (strcmp(what, "threads") == 0) {
        threads();
    } else if (strcmp(what, "real") == 0) {
        real();
    } else if (strcmp(what, "liar") == 0) {
        printf("%d", redox_errno(open_path("/scheme/liar/x", REDOX_O_RDONLY)));
    } else {
        fprintf(stderr, "bench, restart, threads, liar or real?\n");
        return 2;
    }
    return 0;
}
