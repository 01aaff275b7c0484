/* How programs spell what they open; the rules are those of redbear_host/client/paths.py. */
#define _GNU_SOURCE
#include "ring.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MOST 255

/* Take out `.`, `..` and doubled slashes, by the letter; the result begins with a slash. */
static void normalise(char *path)
{
    char *out = path;
    for (const char *in = path; *in;) {
        while (*in == '/')
            in++;
        const char *end = strchrnul(in, '/');
        size_t len = (size_t)(end - in);
        if (len == 2 && in[0] == '.' && in[1] == '.') {
            while (out > path && *--out != '/')
                ;
        } else if (len && !(len == 1 && in[0] == '.')) {
            *out++ = '/';
            memmove(out, in, len);
            out += len;
        }
        in = end;
    }
    if (out == path)
        *out++ = '/';
    *out = 0;
}

static int set_scheme(const char *name, size_t len, char *scheme)
{
    if (len > NAME_MOST)
        return -ENAMETOOLONG;
    if (memchr(name, ':', len) || len == 0 || (name[0] == '.' && len <= 2 && name[len - 1] == '.'))
        return -EINVAL;
    memcpy(scheme, name, len);
    scheme[len] = 0;
    return 0;
}

static void set_rest(const char *from, char *rest)
{
    while (*from == '/')
        from++;
    size_t len = strlen(from);
    while (len && from[len - 1] == '/')
        len--;
    memmove(rest, from, len);
    rest[len] = 0;
}

/* 1 when `path` lies below `root` and was taken apart. */
static int below(const char *path, const char *root, char *scheme, char *rest)
{
    size_t len = strlen(root);
    if (strncmp(path, root, len) != 0 || (path[len] && path[len] != '/'))
        return 0;
    if (!path[len]) {
        scheme[0] = rest[0] = 0;
        return 1;
    }
    const char *name = path + len + 1;
    size_t size = strcspn(name, "/:");
    int bad = set_scheme(name, size, scheme);
    if (bad)
        return bad;
    set_rest(name + size + (name[size] == ':'), rest);
    return 1;
}

int path_parse(const char *path, size_t len, char scheme[256], char rest[PATH_MOST + 1])
{
    char full[2 * PATH_MOST + 2];
    if (len > PATH_MOST)
        return -ENAMETOOLONG;
    if (memchr(path, 0, len))
        return -EINVAL;
    if (len == 0)
        return -ENOENT;
    const char *colon = memchr(path, ':', len);
    const char *slash = memchr(path, '/', len);
    scheme[0] = rest[0] = 0;
    if (colon && (!slash || colon < slash)) {
        memcpy(full, colon + 1, (size_t)(path + len - colon - 1));
        full[path + len - colon - 1] = 0;
        set_rest(full, rest);
        return colon == path ? 0 : set_scheme(path, (size_t)(colon - path), scheme);
    }
    size_t start = 0;
    if (path[0] != '/') {
        if (!getcwd(full, PATH_MOST))
            return -errno;
        start = strlen(full);
        full[start++] = '/';
    }
    memcpy(full + start, path, len);
    full[start + len] = 0;
    normalise(full);
    int found = below(full, "/scheme", scheme, rest);
    const char *mount = secure_getenv("REDBEAR_SCHEME");
    if (!found && mount && *mount)
        found = below(full, mount, scheme, rest);
    if (found)
        return found < 0 ? found : 0;
    strcpy(scheme, "file");
    if (strlen(full) > PATH_MOST)
        return -ENAMETOOLONG;
    set_rest(full, rest);
    return 0;
}
