/* A plain Linux program that waits for a file to become readable, then reads it.
 *
 * plain_waiter epoll|edge|poll|select FILE TIMEOUT_MS: opens FILE, prints "waiting", waits, and
 * prints what it read.  Exits with 3 when the time is over.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

static int wait_epoll(int fd, int wait, unsigned how)
{
    struct epoll_event event = {.events = EPOLLIN | how, .data.fd = fd};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return -1;
    return epoll_wait(epoll, &event, 1, wait);
}

static int wait_poll(int fd, int wait)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, wait);
}

static int wait_select(int fd, int wait)
{
    struct timeval time = {wait / 1000, wait % 1000 * 1000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &time);
}

int main(int argc, char **argv)
{
    char data[256];
    int ready;
    if (argc != 4)
        return 2;
    int fd = open(argv[2], O_RDWR | O_NONBLOCK);
    int wait = atoi(argv[3]);
    if (fd < 0) {
        perror(argv[2]);
        return 1;
    }
    puts("waiting");
    fflush(stdout);
    if (strcmp(argv[1], "epoll") == 0)
        ready = wait_epoll(fd, wait, 0);
    else if (strcmp(argv[1], "edge") == 0)
        ready = wait_epoll(fd, wait, EPOLLET);
    else if (strcmp(argv[1], "poll") == 0)
        ready = wait_poll(fd, wait);
    else
        ready = wait_select(fd, wait);
    if (ready < 0) {
        perror(argv[1]);
        return 1;
    }
    if (ready == 0)
        return 3;
    ssize_t size = read(fd, data, sizeof(data));
    if (size < 0) {
        perror("read");
        return 1;
    }
    fwrite(data, 1, (size_t)size, stdout);
    return 0;
}
