/*
 * What libredox exports on Redox and has no meaning here; the reasons are the table of
 * docs/libredox.md, and each answers ENOSYS, so that a program that asks is told.
 */
#include "ring.h"

#define NO_SYSTEM_CALL ((size_t)-ENOSYS)

/* Namespaces are Linux mount namespaces, which a process changes with the help of the shim: by
 * `redbear-host run`, or through the Python package. */
size_t redox_get_ens_v0(void)
{
    return NO_SYSTEM_CALL;
}

size_t redox_get_ns_v0(void)
{
    return NO_SYSTEM_CALL;
}

size_t redox_setrens_v1(size_t rns, size_t ens)
{
    (void)rns, (void)ens;
    return NO_SYSTEM_CALL;
}

size_t redox_mkns_v1(const struct iovec *names, size_t count, size_t flags)
{
    (void)names, (void)count, (void)flags;
    return NO_SYSTEM_CALL;
}

size_t redox_setns_v0(size_t fd)
{
    (void)fd;
    return NO_SYSTEM_CALL;
}

size_t redox_register_scheme_to_ns_v0(size_t ns, const char *name, size_t len, size_t cap_fd)
{
    (void)ns, (void)name, (void)len, (void)cap_fd;
    return NO_SYSTEM_CALL;
}

/* A capability of Redox's process manager; Linux tells a peer's credentials by its socket. */
size_t redox_get_proc_credentials_v1(size_t cap_fd, size_t pid, void *buf, size_t len)
{
    (void)cap_fd, (void)pid, (void)buf, (void)len;
    return NO_SYSTEM_CALL;
}

/* The ring door has no call on two handles. */
size_t redox_sys_call_multiple_v0(const size_t *fds, size_t count, void *payload, size_t len,
                                  size_t flags, const uint64_t *metadata, size_t metadata_len)
{
    (void)fds, (void)count, (void)payload, (void)len, (void)flags, (void)metadata,
        (void)metadata_len;
    return NO_SYSTEM_CALL;
}

/* Redox's relibc uses it for its own Unix sockets; here they are Linux's. */
size_t redox_get_socket_token_v0(size_t fd, void *buf, size_t len)
{
    (void)fd, (void)buf, (void)len;
    return NO_SYSTEM_CALL;
}

/* No scheme here has RELPATHAT; `redox_fpath_v1` tells where a descriptor is. */
size_t redox_relpathat_v0(size_t fd, const char *path, size_t len, void *buf, size_t buf_len)
{
    (void)fd, (void)path, (void)len, (void)buf, (void)buf_len;
    return NO_SYSTEM_CALL;
}

/* Processes and threads are Linux's, and no descriptors stand for them. */
size_t redox_cur_procfd_v0(void)
{
    return NO_SYSTEM_CALL;
}

size_t redox_cur_thrfd_v0(void)
{
    return NO_SYSTEM_CALL;
}
