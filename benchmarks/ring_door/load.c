/* A client of a disk at the ring door: keeps so many reads or writes in flight, for so many seconds.
 *
 * Usage: load SCHEME PATH read|write BYTES DEPTH SECONDS; prints operations per second.
 * It speaks to the ring itself, as libredox's calls wait for one answer each; libredox dials.
 */
#define _GNU_SOURCE
#include "ring.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LOOKS = 2000, REGION = 64 << 20, HANDLE_ROOT = 0 };

static struct connection c;
static uint32_t tail, head;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Atomic uint32_t *word(size_t at)
{
    return (_Atomic uint32_t *)(void *)(c.memory + at);
}

static void put(uint8_t opcode, uint32_t tag, uint64_t handle, uint64_t size, uint64_t offset,
                uint64_t flags)
{
    struct sqe *entry = (struct sqe *)(void *)(c.memory + SQ_AT + 64 * (tail % ENTRIES));
    *entry = (struct sqe){.opcode = opcode, .tag = tag};
    entry->args[0] = handle;
    entry->args[1] = (uint64_t)tag * ROOM;
    entry->args[2] = size;
    entry->args[3] = offset;
    entry->args[4] = flags;
    atomic_store_explicit(word(SQ_TAIL), ++tail, memory_order_release);
}

static void ring(void)
{
    uint64_t one = 1;
    if (write(c.bell, &one, sizeof(one)) < 0)
        exit(1);
}

/* Wait for answers: look a while, then sleep until the daemon's bell. */
static uint32_t answers(void)
{
    for (;;) {
        for (int look = 0; look < LOOKS; look++) {
            uint32_t there = atomic_load_explicit(word(CQ_TAIL), memory_order_acquire);
            if (there != head)
                return there - head;
        }
        char bell[64];
        if (recv(c.socket, bell, sizeof(bell), 0) <= 0)
            exit(1);
    }
}

static struct cqe take(void)
{
    struct cqe answer = ((struct cqe *)(void *)(c.memory + CQ_AT))[head % CQ_ENTRIES];
    atomic_store_explicit(word(CQ_HEAD), ++head, memory_order_release);
    return answer;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    c.name = argv[1];
    int64_t error = dial(&c);
    if (error) {
        fprintf(stderr, "dial: %s\n", strerror((int)-error));
        return 1;
    }
    uint8_t opcode = strcmp(argv[3], "write") == 0 ? OP_WRITE : OP_READ;
    uint64_t size = strtoull(argv[4], NULL, 10);
    uint32_t depth = (uint32_t)strtoul(argv[5], NULL, 10);
    double seconds = strtod(argv[6], NULL);
    if (depth < 1 || depth > ENTRIES / 2 || !size || size > ROOM)
        return 2;

    memcpy(c.memory + ARENA_AT, argv[2], strlen(argv[2]));
    put(OP_OPEN_AT, 0, HANDLE_ROOT, strlen(argv[2]), REDOX_O_RDWR, 0);
    ring();
    answers();
    struct cqe opened = take();
    if (opened.result > (uint64_t)-4096) {
        fprintf(stderr, "open: errno %d\n", (int)-opened.result);
        return 1;
    }

    uint64_t chance = 88172645463325252ull, places = REGION / size;
    unsigned long ended = 0;
    double began = now();
    for (uint32_t tag = 0; tag < depth; tag++)
        put(opcode, tag, opened.result, size, tag * size, 0);
    ring();
    for (unsigned long looked = 0;;) {
        uint32_t count = answers();
        for (uint32_t i = 0; i < count; i++) {
            struct cqe answer = take();
            if (answer.result != size) {
                fprintf(stderr, "answer: %lld\n", (long long)answer.result);
                return 1;
            }
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            put(opcode, answer.tag, opened.result, size, chance % places * size, 0);
        }
        ring();
        ended += count;
        if (ended - looked >= 64) {
            looked = ended;
            double took = now() - began;
            if (took >= seconds) {
                printf("%.0f\n", (double)ended / took);
                return 0;
            }
        }
    }
}
