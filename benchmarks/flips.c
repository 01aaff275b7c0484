/* Page flips by libdrm, as fast as the card says they are done: the loop that ours is measured by.
 *
 *   flips FD CRTC FB FB SECONDS
 *
 * The descriptor is its starter's, who has made the frame buffers and set the mode.  Prints flips
 * and seconds.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <drm.h>
#include <drm_mode.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    if (argc != 6)
        return 2;
    int fd = atoi(argv[1]);
    unsigned crtc = atoi(argv[2]), fbs[2] = {atoi(argv[3]), atoi(argv[4])};
    double begin = now(), end = begin + atof(argv[5]);
    long flips = 0;
    while (now() < end) {
        struct drm_mode_crtc_page_flip flip = {
            .crtc_id = crtc, .fb_id = fbs[flips & 1], .flags = DRM_MODE_PAGE_FLIP_EVENT};
        if (ioctl(fd, DRM_IOCTL_MODE_PAGE_FLIP, &flip)) {
            perror("flip");
            return 1;
        }
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        char event[1024];
        if (poll(&wait, 1, 2000) != 1 || read(fd, event, sizeof event) < 0) {
            perror("event");
            return 1;
        }
        flips++;
    }
    printf("%ld %f\n", flips, now() - begin);
    return 0;
}
