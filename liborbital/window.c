/* Windows: opened, mapped, moved, shown.  What is written is in docs/protocol.md, `orbital`. */
#include "window.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../libredox/redox.h"
#include "orbital.h"

enum { PATH_MOST = 4096, PAGE = 4096 };

static const struct {
    uint32_t flag;
    char letter;
} letters[] = {
    {ORB_WINDOW_ASYNC, 'a'},      {ORB_WINDOW_BACK, 'b'},       {ORB_WINDOW_FRONT, 'f'},
    {ORB_WINDOW_RESIZABLE, 'r'},  {ORB_WINDOW_UNCLOSABLE, 'u'}, {ORB_WINDOW_BORDERLESS, 'l'},
    {ORB_WINDOW_TRANSPARENT, 't'},
};

static const char *display(void)
{
    const char *named = getenv("ORBITAL_DISPLAY");
    return named && *named ? named : "/scheme/orbital";
}

static int failed(size_t result)
{
    if (!redox_is_error(result))
        return 0;
    errno = redox_errno(result);
    return -1;
}

/* Read x/y/w/h behind the flags of `FLAGS/X/Y/W/H/TITLE`. */
static int learn(struct orb_window *window)
{
    char path[PATH_MOST];
    size_t length = redox_fpath_v1(window->fd, path, sizeof path - 1);
    if (failed(length))
        return -1;
    path[length] = 0;
    const char *numbers = strchr(path, '/');
    int32_t x, y;
    uint32_t w, h;
    if (!numbers ||
        sscanf(numbers, "/%" SCNd32 "/%" SCNd32 "/%" SCNu32 "/%" SCNu32, &x, &y, &w, &h) != 4) {
        errno = EPROTO;
        return -1;
    }
    window->x = x, window->y = y, window->w = w, window->h = h;
    return 0;
}

static void unmap(struct orb_window *window)
{
    if (window->length)
        redox_munmap_v1(window->data, window->length);
    window->data = NULL;
    window->length = 0;
}

static int map(struct orb_window *window)
{
    uint64_t bytes = (uint64_t)window->w * window->h * 4;
    size_t length = (size_t)((bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1));
    if (!length)
        return 0;
    size_t at = redox_mmap_v1(NULL, length, REDOX_PROT_READ | REDOX_PROT_WRITE, REDOX_MAP_SHARED,
                              window->fd, 0);
    if (failed(at))
        return -1;
    window->data = (uint32_t *)at;
    window->length = length;
    return 0;
}

int orb_command(struct orb_window *window, const char *form, ...)
{
    char line[PATH_MOST];
    va_list words;
    va_start(words, form);
    int length = vsnprintf(line, sizeof line, form, words);
    va_end(words);
    if (length < 0 || (size_t)length >= sizeof line) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return failed(redox_write_v1(window->fd, line, (size_t)length));
}

void *orb_window_new(int32_t x, int32_t y, uint32_t w, uint32_t h, const char *title)
{
    return orb_window_new_flags(x, y, w, h, title, 0);
}

void *orb_window_new_flags(int32_t x, int32_t y, uint32_t w, uint32_t h, const char *title,
                           uint32_t flags)
{
    char path[PATH_MOST], named[sizeof letters / sizeof *letters + 1], *next = named;
    for (size_t at = 0; at < sizeof letters / sizeof *letters; at++)
        if (flags & letters[at].flag)
            *next++ = letters[at].letter;
    *next = 0;
    int length = snprintf(path, sizeof path, "%s/%s/%" PRId32 "/%" PRId32 "/%" PRIu32 "/%" PRIu32
                          "/%s", display(), named, x, y, w, h, title);
    if (length < 0 || (size_t)length >= sizeof path) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    struct orb_window *window = calloc(1, sizeof *window);
    if (!window)
        return NULL;
    window->flags = flags;
    window->fd = redox_open_v1(path, (size_t)length, REDOX_O_RDWR | REDOX_O_CLOEXEC, 0);
    if (failed(window->fd)) {
        free(window);
        return NULL;
    }
    if (learn(window) || map(window)) {
        int why = errno;
        redox_close_v1(window->fd);
        free(window);
        errno = why;
        return NULL;
    }
    return window;
}

void orb_window_destroy(void *handle)
{
    struct orb_window *window = handle;
    if (!window)
        return;
    unmap(window);
    redox_close_v1(window->fd);
    free(window);
}

int32_t orb_window_x(void *handle)
{
    struct orb_window *window = handle;
    learn(window); /* it may have been moved at the screen; else what was known holds */
    return window->x;
}

int32_t orb_window_y(void *handle)
{
    struct orb_window *window = handle;
    learn(window);
    return window->y;
}

uint32_t orb_window_width(void *handle)
{
    return ((struct orb_window *)handle)->w;
}

uint32_t orb_window_height(void *handle)
{
    return ((struct orb_window *)handle)->h;
}

uint32_t *orb_window_data(void *handle)
{
    return ((struct orb_window *)handle)->data;
}

void orb_window_set_pos(void *handle, int32_t x, int32_t y)
{
    struct orb_window *window = handle;
    if (!orb_command(window, "P,%" PRId32 ",%" PRId32, x, y))
        learn(window);
}

void orb_window_set_size(void *handle, uint32_t w, uint32_t h)
{
    struct orb_window *window = handle;
    unmap(window);
    orb_command(window, "S,%" PRIu32 ",%" PRIu32, w, h);
    /* Refused or not, the window has some size, and its pixels are mapped by that. */
    if (learn(window) || map(window))
        window->w = window->h = 0;
}

void orb_window_set_title(void *handle, const char *title)
{
    orb_command(handle, "T,%s", title);
}

void orb_window_set_mouse_cursor(void *handle, bool cursor)
{
    orb_command(handle, "M,C,%d", cursor);
}

void orb_window_set_mouse_grab(void *handle, bool grab)
{
    orb_command(handle, "M,G,%d", grab);
}

void orb_window_set_mouse_relative(void *handle, bool relative)
{
    orb_command(handle, "M,R,%d", relative);
}

void orb_window_sync(void *handle)
{
    redox_fsync_v1(((struct orb_window *)handle)->fd);
}

static void display_size(uint32_t *w, uint32_t *h)
{
    char path[PATH_MOST];
    *w = *h = 0;
    int length = snprintf(path, sizeof path, "%s/99.0", display());
    if (length < 0 || (size_t)length >= sizeof path)
        return;
    size_t fd = redox_open_v1(path, (size_t)length, REDOX_O_RDONLY | REDOX_O_CLOEXEC, 0);
    if (redox_is_error(fd))
        return;
    size_t told = redox_fpath_v1(fd, path, sizeof path - 1);
    redox_close_v1(fd);
    if (redox_is_error(told))
        return;
    path[told] = 0;
    const char *numbers = strstr(path, "99.0/");
    if (!numbers || sscanf(numbers + 5, "%" SCNu32 "/%" SCNu32, w, h) != 2)
        *w = *h = 0;
}

uint32_t orb_display_width(void)
{
    uint32_t w, h;
    display_size(&w, &h);
    return w;
}

uint32_t orb_display_height(void)
{
    uint32_t w, h;
    display_size(&w, &h);
    return h;
}
