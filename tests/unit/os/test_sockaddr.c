/* SPDX-License-Identifier: MIT */
/* Includes the file under test over a resolver that knows what it is told and asks no network. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int resolver_says;  /* EAI_...; 0: resolves "pond.test" */
static int resolver_errno; /* with EAI_SYSTEM */

static int test_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                            struct addrinfo **found)
{
    struct addrinfo numeric = *hints;

    if (hints->ai_flags & AI_NUMERICHOST)
        return getaddrinfo(host, port, hints, found);
    if (resolver_says) {
        errno = resolver_errno;
        return resolver_says;
    }
    if (strcmp(host, "pond.test") != 0)
        return EAI_NONAME;
    numeric.ai_flags |= AI_NUMERICHOST;
    return getaddrinfo("192.0.2.7", port, &numeric, found);
}

#define getaddrinfo test_getaddrinfo
#include "os/sockaddr.c"
#undef getaddrinfo

#include "support/runner.h"

static const char path_107[] = "/2345678901234567890123456789012345678901234567890123456789"
                               "012345678901234567890123456789012345678901234567";

struct good {
    const char *spec;
    const char *text; /* as formatted */
    const char *host;
    int port;
};

TEST(good_addresses_are_parsed_and_formatted)
{
    static const struct good table[] = {
        {"127.0.0.1:8000", "127.0.0.1:8000", "127.0.0.1", 8000},
        {"0.0.0.0:1", "0.0.0.0:1", "0.0.0.0", 1},
        {":8000", "0.0.0.0:8000", "0.0.0.0", 8000},
        {":0", "0.0.0.0:0", "0.0.0.0", 0},
        {":65535", "0.0.0.0:65535", "0.0.0.0", 65535},
        {":00080", "0.0.0.0:80", "0.0.0.0", 80},
        {"255.255.255.255:80", "255.255.255.255:80", "255.255.255.255", 80},
        {"[::1]:8000", "[::1]:8000", "::1", 8000},
        {"[::]:80", "[::]:80", "::", 80},
        {"[2001:DB8:0:0:0:0:0:1]:80", "[2001:db8::1]:80", "2001:db8::1", 80},
        {"[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80},
        {"[fe80::1%1]:80", "[fe80::1%1]:80", "fe80::1", 80},
        {"pond.test:80", "192.0.2.7:80", "192.0.2.7", 80},
        {"unix:/run/app.sock", "unix:/run/app.sock", "", 0},
        {"unix:relative.sock", "unix:relative.sock", "", 0},
        {"unix:/with:colon:80", "unix:/with:colon:80", "", 0},
        {"unix:@name", "unix:@name", "", 0},
        {"unix:@@", "unix:@@", "", 0},
    };

    for (size_t i = 0; i < mp_array_size(table); i++) {
        struct mp_sockaddr addr;
        char text[MP_SOCKADDR_TEXT];
        const char *why = "untouched";
        int fd = 77;

        CHECK_OK(mp_sockaddr_parse(table[i].spec, &addr, &fd, &why));
        CHECK(why == NULL);
        CHECK_EQ(fd, -1);
        CHECK_EQ(mp_sockaddr_format(&addr, text, sizeof(text)), strlen(table[i].text));
        CHECK_STR(text, table[i].text);
        CHECK_EQ(mp_sockaddr_host(&addr, text, sizeof(text)), strlen(table[i].host));
        CHECK_STR(text, table[i].host);
        CHECK_EQ(mp_sockaddr_port(&addr), table[i].port);
    }
}

struct bad {
    const char *spec;
    const char *why;
};

static const char not_v4[] = "not an IPv4 address";
static const char not_v6[] = "what stands in [] is not an IPv6 address";
static const char bad_port[] = "the port must be a number from 0 to 65535";
static const char bad_fd[] = "fd:// must be followed by the number of a descriptor";
static const char no_port[] = "the port is missing, as in 127.0.0.1:8000";
static const char unbracketed[] = "an IPv6 address must stand in [], as in [::1]:8000";

TEST(bad_addresses_are_refused_with_a_reason)
{
    static const struct bad table[] = {
        {"", "the address is empty"},
        {"127.0.0.1", no_port},
        {"localhost", no_port},
        {"8000", no_port},
        {"127.0.0.1:", bad_port},
        {":", bad_port},
        {"::", bad_port},
        {":x", bad_port},
        {":+80", bad_port},
        {":-1", bad_port},
        {": 80", bad_port},
        {":80 ", bad_port},
        {":0x50", bad_port},
        {":8_0", bad_port},
        {":65536", bad_port},
        {":4294967376", bad_port},
        {":18446744073709551696", bad_port},
        {"::1:80", unbracketed},
        {"fe80::1:80", unbracketed},
        {"[::1]", no_port},
        {"[::1", "the ] after the IPv6 address is missing"},
        {"[::1:80", "the ] after the IPv6 address is missing"},
        {"[::1]80", no_port},
        {"[::1]x:80", "the ] must be followed by : and the port"},
        {"[::1]:", bad_port},
        {"[::1]:80x", bad_port},
        {"[]:80", not_v6},
        {"[:::]:80", not_v6},
        {"[127.0.0.1]:80", not_v6},
        {"[pond.test]:80", not_v6},
        {"1:80", not_v4},
        {"127.1:80", not_v4},
        {"256.0.0.1:80", not_v4},
        {"1.2.3.4.5:80", not_v4},
        {"...:80", not_v4},
        {"unknown.test:80", "unknown host"},
        {"*:80", "unknown host"},
        {"unix:", "unix: must be followed by a path"},
        {"unix:@", "unix:@ must be followed by a name"},
        {"fd://", bad_fd},
        {"fd://x", bad_fd},
        {"fd://-1", bad_fd},
        {"fd://3x", bad_fd},
        {"fd:// 3", bad_fd},
        {"fd://2147483648", bad_fd},
        {"fd://99999999999999999999", bad_fd},
    };

    for (size_t i = 0; i < mp_array_size(table); i++) {
        struct mp_sockaddr addr;
        struct mp_sockaddr before;
        const char *why = NULL;
        int fd = 77;

        memset(&addr, 0x5a, sizeof(addr));
        before = addr;
        CHECK_EQ(mp_sockaddr_parse(table[i].spec, &addr, &fd, &why), -EINVAL);
        CHECK_STR(why, table[i].why);
        CHECK_EQ(fd, 77);
        CHECK_MEM(&addr, &before, sizeof(addr));
    }
}

TEST(resolver_errors_have_reasons_or_numbers)
{
    struct mp_sockaddr addr;
    const char *why;
    int fd;

    resolver_says = EAI_AGAIN;
    CHECK_EQ(mp_sockaddr_parse("pond.test:80", &addr, &fd, &why), -EINVAL);
    CHECK_STR(why, "the host name cannot be resolved now: no answer from name service");
    resolver_says = EAI_MEMORY;
    CHECK_EQ(mp_sockaddr_parse("pond.test:80", &addr, &fd, &why), -ENOMEM);
    CHECK(why == NULL);
    resolver_says = EAI_SYSTEM;
    resolver_errno = EMFILE;
    CHECK_EQ(mp_sockaddr_parse("pond.test:80", &addr, &fd, &why), -EMFILE);
    CHECK(why == NULL);
}

TEST(names_of_unix_sockets_up_to_the_limit)
{
    struct mp_sockaddr addr;
    char spec[256];
    char text[MP_SOCKADDR_TEXT];
    const char *why;
    int fd;

    CHECK_EQ(strlen(path_107), 107);
    snprintf(spec, sizeof(spec), "unix:%s", path_107);
    CHECK_OK(mp_sockaddr_parse(spec, &addr, &fd, &why));
    CHECK_EQ(addr.len, offsetof(struct sockaddr_un, sun_path) + 108);
    mp_sockaddr_format(&addr, text, sizeof(text));
    CHECK_STR(text, spec);
    snprintf(spec, sizeof(spec), "unix:%sx", path_107);
    CHECK_EQ(mp_sockaddr_parse(spec, &addr, &fd, &why), -EINVAL);
    CHECK_STR(why, "the path of a UNIX socket can have 107 bytes at most");
    /* An abstract name is as long as its length says: no terminator. */
    CHECK_OK(mp_sockaddr_parse("unix:@abc", &addr, &fd, &why));
    CHECK_EQ(addr.len, offsetof(struct sockaddr_un, sun_path) + 4);
    CHECK_MEM(addr.un.sun_path, "\0abc", 4);
}

TEST(host_names_up_to_the_limit)
{
    struct mp_sockaddr addr;
    char spec[600];
    const char *why;
    int fd;

    memset(spec, 'x', sizeof(spec));
    strcpy(spec + 255, ":80");
    CHECK_EQ(mp_sockaddr_parse(spec, &addr, &fd, &why), -EINVAL);
    CHECK_STR(why, "unknown host");
    spec[255] = 'x';
    strcpy(spec + 256, ":80");
    CHECK_EQ(mp_sockaddr_parse(spec, &addr, &fd, &why), -EINVAL);
    CHECK_STR(why, "the host name is too long");
}

TEST(descriptors_bring_their_own_name)
{
    struct mp_sockaddr addr;
    char spec[32];
    char text[MP_SOCKADDR_TEXT];
    const char *why = "untouched";
    int fds[2];
    int sock;
    int fd = -1;

    sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(sock >= 0);
    snprintf(spec, sizeof(spec), "fd://%d", sock);
    CHECK_OK(mp_sockaddr_parse(spec, &addr, &fd, &why));
    CHECK_EQ(fd, sock);
    CHECK(why == NULL);
    mp_sockaddr_format(&addr, text, sizeof(text));
    CHECK_STR(text, "0.0.0.0:0");
    close(sock);
    CHECK_EQ(mp_sockaddr_parse(spec, &addr, &fd, &why), -EBADF);
    CHECK(why == NULL);
    CHECK_OK(pipe(fds));
    snprintf(spec, sizeof(spec), "fd://%d", fds[0]);
    CHECK_EQ(mp_sockaddr_parse(spec, &addr, &fd, &why), -ENOTSOCK);
    close(fds[0]);
    close(fds[1]);
}

TEST(text_is_cut_to_its_size_and_terminated)
{
    struct mp_sockaddr addr;
    char text[32];
    const char *why;
    int fd;

    CHECK_OK(mp_sockaddr_parse("127.0.0.1:8000", &addr, &fd, &why));
    for (size_t size = 1; size < sizeof(text); size++) {
        memset(text, 'x', sizeof(text));
        CHECK_EQ(mp_sockaddr_format(&addr, text, size), size - 1 < 14 ? size - 1 : 14);
        CHECK_EQ(strlen(text), size - 1 < 14 ? size - 1 : 14);
        CHECK_EQ(text[size], 'x');
        CHECK_EQ(mp_sockaddr_host(&addr, text, size), size - 1 < 9 ? size - 1 : 9);
    }
    text[0] = 'x';
    CHECK_EQ(mp_sockaddr_format(&addr, text, 0), 0);
    CHECK_EQ(text[0], 'x');
}

TEST(unnamed_and_unknown_addresses_have_texts)
{
    struct mp_sockaddr addr = {.len = sizeof(sa_family_t), .any.sa_family = AF_UNIX};
    char text[MP_SOCKADDR_TEXT];

    mp_sockaddr_format(&addr, text, sizeof(text));
    CHECK_STR(text, "unix:");
    addr.len = 0;
    CHECK_EQ(mp_sockaddr_format(&addr, text, sizeof(text)), 0);
    CHECK_STR(text, "");
    CHECK_EQ(mp_sockaddr_port(&addr), 0);
    addr = (struct mp_sockaddr){.len = sizeof(addr.any), .any.sa_family = AF_NETLINK};
    CHECK_EQ(mp_sockaddr_format(&addr, text, sizeof(text)), 0);
    /* An abstract name may hold NULs; a path fills the whole of sun_path without one. */
    addr = (struct mp_sockaddr){.len = offsetof(struct sockaddr_un, sun_path) + 5,
                                .un = {.sun_family = AF_UNIX, .sun_path = "\0a\0b"}};
    mp_sockaddr_format(&addr, text, sizeof(text));
    CHECK_STR(text, "unix:@a@b@");
    memset(addr.un.sun_path, 'p', sizeof(addr.un.sun_path));
    addr.len = sizeof(addr.un);
    CHECK_EQ(mp_sockaddr_format(&addr, text, sizeof(text)), 5 + 108);
}
