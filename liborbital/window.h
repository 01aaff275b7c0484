/* A window as the library knows it. */
#ifndef LIBORBITAL_WINDOW_H
#define LIBORBITAL_WINDOW_H

#include <stddef.h>
#include <stdint.h>

struct orb_window {
    size_t fd;
    int32_t x, y;
    uint32_t w, h;
    uint32_t flags; /* ORB_WINDOW_* as it was opened */
    uint32_t *data;
    size_t length; /* of the mapping in bytes; 0 when there is none */
};

/* Write one command of the scheme `orbital`; 0, or -1 and errno. */
int orb_command(struct orb_window *window, const char *form, ...)
    __attribute__((format(printf, 2, 3)));

#endif
