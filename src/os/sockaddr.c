/* SPDX-License-Identifier: MIT */
/* Socket addresses as text, and as a user writes them. */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "os/socket.h"

enum {
    HOST_MAX = 255,
    PORT_MAX = 65535,
    UN_PATH_MAX = sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
};

static const char fd_prefix[] = "fd://";
static const char unix_prefix[] = "unix:";

static int refuse(const char **ret_why, const char *why)
{
    *ret_why = why;
    return -EINVAL;
}

/* Digits only: no sign, no space, no empty text. Returns the number or -1. */
static int parse_number(const char *text, int max)
{
    int number = 0;

    if (!*text)
        return -1;
    for (; *text; text++) {
        int digit = *text - '0';

        if (digit < 0 || digit > 9 || number > (max - digit) / 10)
            return -1;
        number = number * 10 + digit;
    }
    return number;
}

static int parse_fd(const char *text, struct mp_sockaddr *ret_addr, int *ret_fd,
                    const char **ret_why)
{
    struct mp_sockaddr addr;
    int fd = parse_number(text, INT_MAX);
    int err;

    if (fd < 0)
        return refuse(ret_why, "fd:// must be followed by the number of a descriptor");
    err = mp_socket_local(fd, &addr);
    if (err)
        return err;
    *ret_addr = addr;
    *ret_fd = fd;
    return 0;
}

static int parse_unix(const char *path, struct mp_sockaddr *ret_addr, const char **ret_why)
{
    struct mp_sockaddr addr = {.len = 0};
    bool is_abstract = path[0] == '@';
    size_t len = strlen(path);

    if (len == 0)
        return refuse(ret_why, "unix: must be followed by a path");
    if (len == 1 && is_abstract)
        return refuse(ret_why, "unix:@ must be followed by a name");
    if (len > UN_PATH_MAX)
        return refuse(ret_why, "the path of a UNIX socket can have 107 bytes at most");
    addr.un.sun_family = AF_UNIX;
    memcpy(addr.un.sun_path, path, len);
    /* An abstract name starts with a NUL and is as long as the length says; a path ends with one.
     */
    addr.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !is_abstract);
    if (is_abstract)
        addr.un.sun_path[0] = '\0';
    *ret_addr = addr;
    return 0;
}

static int resolve_error(int result, const char **ret_why)
{
    switch (result) {
    case EAI_SYSTEM:
        return errno > 0 ? -errno : -EIO;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_AGAIN:
        return refuse(ret_why, "the host name cannot be resolved now: no answer from name service");
    default:
        return refuse(ret_why, "unknown host");
    }
}

static int resolve(const char *host, const char *port, int family, int flags,
                   struct mp_sockaddr *ret_addr, const char **ret_why)
{
    struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct mp_sockaddr addr = {.len = 0};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, port, &hints, &found);

    if (result != 0)
        return resolve_error(result, ret_why);
    addr.len = found->ai_addrlen;
    memcpy(&addr.any, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    *ret_addr = addr;
    return 0;
}

static int parse_v6(const char *host, const char *port, struct mp_sockaddr *ret_addr,
                    const char **ret_why)
{
    int err = resolve(host, port, AF_INET6, AI_NUMERICHOST, ret_addr, ret_why);

    return err == -EINVAL ? refuse(ret_why, "what stands in [] is not an IPv6 address") : err;
}

/* "127.1", "1" and the like are numbers to the resolver, but hardly ever what was meant. */
static bool is_dotted(const char *host)
{
    return host[strspn(host, "0123456789.")] == '\0';
}

static int parse_host(const char *host, const char *port, struct mp_sockaddr *ret_addr,
                      const char **ret_why)
{
    struct mp_sockaddr addr = {.len = sizeof(struct sockaddr_in)};

    if (strchr(host, ':'))
        return refuse(ret_why, "an IPv6 address must stand in [], as in [::1]:8000");
    if (*host && !is_dotted(host))
        return resolve(host, port, AF_UNSPEC, 0, ret_addr, ret_why);
    addr.in4.sin_family = AF_INET;
    addr.in4.sin_port = htons((uint16_t)parse_number(port, PORT_MAX));
    if (!*host)
        addr.in4.sin_addr.s_addr = htonl(INADDR_ANY);
    else if (inet_pton(AF_INET, host, &addr.in4.sin_addr) != 1)
        return refuse(ret_why, "not an IPv4 address");
    *ret_addr = addr;
    return 0;
}

static int parse_inet(const char *spec, struct mp_sockaddr *ret_addr, const char **ret_why)
{
    const char *bracket = spec[0] == '[' ? strchr(spec, ']') : NULL;
    const char *colon = strrchr(spec, ':');
    const char *start = bracket ? spec + 1 : spec;
    char host[HOST_MAX + 1];
    size_t len;

    if (spec[0] == '[' && !bracket)
        return refuse(ret_why, "the ] after the IPv6 address is missing");
    if (!colon || (bracket && colon < bracket))
        return refuse(ret_why, "the port is missing, as in 127.0.0.1:8000");
    if (bracket && colon != bracket + 1)
        return refuse(ret_why, "the ] must be followed by : and the port");
    if (parse_number(colon + 1, PORT_MAX) < 0)
        return refuse(ret_why, "the port must be a number from 0 to 65535");
    len = (size_t)((bracket ? bracket : colon) - start);
    if (len > HOST_MAX)
        return refuse(ret_why, "the host name is too long");
    memcpy(host, start, len);
    host[len] = '\0';
    if (bracket)
        return parse_v6(host, colon + 1, ret_addr, ret_why);
    return parse_host(host, colon + 1, ret_addr, ret_why);
}

int mp_sockaddr_parse(const char *spec, struct mp_sockaddr *ret_addr, int *ret_fd,
                      const char **ret_why)
{
    int err;

    *ret_why = NULL;
    if (!*spec)
        return refuse(ret_why, "the address is empty");
    if (strncmp(spec, fd_prefix, sizeof(fd_prefix) - 1) == 0)
        return parse_fd(spec + sizeof(fd_prefix) - 1, ret_addr, ret_fd, ret_why);
    if (strncmp(spec, unix_prefix, sizeof(unix_prefix) - 1) == 0)
        err = parse_unix(spec + sizeof(unix_prefix) - 1, ret_addr, ret_why);
    else
        err = parse_inet(spec, ret_addr, ret_why);
    if (!err)
        *ret_fd = -1;
    return err;
}

/* The length of what snprintf has left in a text of that size. */
static size_t kept(int n, size_t size)
{
    if (n < 0 || size == 0)
        return 0;
    return (size_t)n < size ? (size_t)n : size - 1;
}

/* The name of a UNIX socket, '@' for each NUL (as ss shows it); "" when it has none. */
static void unix_name(const struct mp_sockaddr *addr, char name[UN_PATH_MAX + 2])
{
    size_t head = offsetof(struct sockaddr_un, sun_path);
    size_t len = addr->len > head ? addr->len - head : 0;

    if (len > UN_PATH_MAX + 1)
        len = UN_PATH_MAX + 1;
    if (len > 0 && addr->un.sun_path[0] != '\0')
        len = strnlen(addr->un.sun_path, len);
    for (size_t i = 0; i < len; i++)
        name[i] = addr->un.sun_path[i] ? addr->un.sun_path[i] : '@';
    name[len] = '\0';
}

static sa_family_t family_of(const struct mp_sockaddr *addr)
{
    return addr->len >= sizeof(sa_family_t) ? addr->any.sa_family : AF_UNSPEC;
}

size_t mp_sockaddr_format(const struct mp_sockaddr *addr, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    char name[UN_PATH_MAX + 2];
    unsigned port = mp_sockaddr_port(addr);

    mp_sockaddr_host(addr, host, sizeof(host));
    switch (family_of(addr)) {
    case AF_INET:
        return kept(snprintf(text, size, "%s:%u", host, port), size);
    case AF_INET6:
        if (addr->in6.sin6_scope_id)
            return kept(
                snprintf(text, size, "[%s%%%u]:%u", host, (unsigned)addr->in6.sin6_scope_id, port),
                size);
        return kept(snprintf(text, size, "[%s]:%u", host, port), size);
    case AF_UNIX:
        unix_name(addr, name);
        return kept(snprintf(text, size, "%s%s", unix_prefix, name), size);
    default:
        return kept(snprintf(text, size, "%s", ""), size);
    }
}

size_t mp_sockaddr_host(const struct mp_sockaddr *addr, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";

    if (family_of(addr) == AF_INET)
        inet_ntop(AF_INET, &addr->in4.sin_addr, host, sizeof(host));
    else if (family_of(addr) == AF_INET6)
        inet_ntop(AF_INET6, &addr->in6.sin6_addr, host, sizeof(host));
    return kept(snprintf(text, size, "%s", host), size);
}

uint16_t mp_sockaddr_port(const struct mp_sockaddr *addr)
{
    if (family_of(addr) == AF_INET)
        return ntohs(addr->in4.sin_port);
    if (family_of(addr) == AF_INET6)
        return ntohs(addr->in6.sin6_port);
    return 0;
}
