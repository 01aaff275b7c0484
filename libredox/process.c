/* What is the same thing on Linux, by Redox's names. */
#define _GNU_SOURCE
#include "ring.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

size_t redox_get_pid_v1(void)
{
    return (size_t)getpid();
}

size_t redox_get_euid_v1(void)
{
    return geteuid();
}

size_t redox_get_ruid_v1(void)
{
    return getuid();
}

size_t redox_get_egid_v1(void)
{
    return getegid();
}

size_t redox_get_rgid_v1(void)
{
    return getgid();
}

size_t redox_kill_v1(size_t pid, uint32_t signal)
{
    return from_linux(kill((pid_t)pid, (int)signal));
}

size_t redox_waitpid_v1(size_t pid, int *status, uint32_t options)
{
    return from_linux(waitpid((pid_t)pid, status, (int)options));
}

/* A set is 64 bits here, signal 1 in the lowest. */
size_t redox_sigprocmask_v1(uint32_t how, const uint64_t *set, uint64_t *old)
{
    sigset_t linux_set;
    sigset_t linux_old;
    sigemptyset(&linux_set);
    for (int signal = 1; set && signal <= 64; signal++)
        if (*set >> (signal - 1) & 1)
            sigaddset(&linux_set, signal);
    int failed = pthread_sigmask((int)how, set ? &linux_set : NULL, &linux_old);
    if (failed)
        return (size_t)-failed;
    if (old) {
        *old = 0;
        for (int signal = 1; signal <= 64; signal++)
            if (sigismember(&linux_old, signal) == 1)
                *old |= (uint64_t)1 << (signal - 1);
    }
    return 0;
}

size_t redox_sigaction_v1(uint32_t signal, const struct sigaction *action, struct sigaction *old)
{
    return from_linux(sigaction((int)signal, action, old));
}

size_t redox_clock_gettime_v1(size_t clock, struct timespec *time)
{
    if (clock != REDOX_CLOCK_REALTIME && clock != REDOX_CLOCK_MONOTONIC)
        return (size_t)-EINVAL;
    return from_linux(
        clock_gettime(clock == REDOX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, time));
}

/* The deadline is a time of CLOCK_MONOTONIC. */
size_t redox_futex_wait_v0(uint32_t *word, uint32_t value, const struct timespec *deadline)
{
    return from_linux(syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
                              deadline, NULL, FUTEX_BITSET_MATCH_ANY));
}

size_t redox_futex_wake_v0(uint32_t *word, uint32_t count)
{
    return from_linux(syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count));
}

/* `len` holds the room and gets the length of the whole message, without an end mark. */
size_t redox_strerror_v1(char *buf, size_t *len, uint32_t number)
{
    const char *text = strerrordesc_np((int)number);
    if (!text)
        return (size_t)-EINVAL;
    size_t whole = strlen(text);
    memcpy(buf, text, whole < *len ? whole : *len);
    *len = whole;
    return 0;
}
