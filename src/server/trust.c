/* SPDX-License-Identifier: MIT */
/* Whom the worker believes what about its clients; see trust.h. */
#include "server/trust.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "http/proxy_protocol.h"

struct mp_trust {
    struct mp_ip_set proxies;    /* --proxy-allow-from */
    struct mp_ip_set forwarders; /* --forwarded-allow-ips */
    /* Each is said once: anybody can bring it about. */
    bool told_stranger;
    bool told_no_header;
    bool told_removed;
    bool told_unclear;
};

static int set_init(struct mp_ip_set *set, const char *list)
{
    const char *bad_ignored;
    size_t size_ignored;
    return mp_ip_set_init(set, list, &bad_ignored, &size_ignored);
}

int mp_trust_new(const struct mp_worker_options *options, struct mp_trust **ret_trust)
{
    struct mp_trust *trust = calloc(1, sizeof(*trust));
    if (!trust)
        return -ENOMEM;
    int r = set_init(&trust->proxies, options->proxy_allow);
    if (r == 0)
        r = set_init(&trust->forwarders, options->forwarded_allow);
    if (r < 0)
        mp_trust_free(trust);
    else
        *ret_trust = trust;
    return r;
}

void mp_trust_free(struct mp_trust *trust)
{
    if (!trust)
        return;
    mp_ip_set_done(&trust->proxies);
    mp_ip_set_done(&trust->forwarders);
    free(trust);
}

static bool has_ip(const struct mp_sockaddr *peer)
{
    return peer->len > 0 && (peer->any.sa_family == AF_INET || peer->any.sa_family == AF_INET6);
}

static bool is_in(const struct mp_ip_set *set, const struct mp_sockaddr *peer)
{
    struct mp_ip ip = {.version = MP_IP_V4};
    if (!has_ip(peer))
        return true;
    if (peer->any.sa_family == AF_INET) {
        memcpy(ip.bytes, &peer->in4.sin_addr, 4);
    } else {
        ip.version = MP_IP_V6;
        memcpy(ip.bytes, &peer->in6.sin6_addr, 16);
    }
    return mp_ip_set_has(set, &ip);
}

static struct mp_sockaddr address_of(const struct mp_ip *ip, uint16_t port)
{
    struct mp_sockaddr addr = {.len = 0};
    if (ip->version == MP_IP_V4) {
        addr.len = sizeof(addr.in4);
        addr.in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&addr.in4.sin_addr, ip->bytes, 4);
    } else if (ip->version == MP_IP_V6) {
        addr.len = sizeof(addr.in6);
        addr.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&addr.in6.sin6_addr, ip->bytes, 16);
    }
    return addr;
}

/* The level for something that is worth a warning, but only the first time. */
static enum mp_log_level once(bool *told)
{
    enum mp_log_level level = *told ? MP_LOG_DEBUG : MP_LOG_WARNING;
    *told = true;
    return level;
}

static const char *name_of(const struct mp_sockaddr *peer, char text[MP_SOCKADDR_TEXT])
{
    return mp_sockaddr_host(peer, text, MP_SOCKADDR_TEXT) > 0 ? text : "a UNIX socket";
}

/* ---- the PROXY protocol -------------------------------------------------------------------- */

bool mp_trust_may_connect(const struct mp_server *server, const struct mp_sockaddr *peer)
{
    struct mp_trust *trust = server->trust;
    char text[MP_SOCKADDR_TEXT];
    if (server->options->proxy_versions == 0 || is_in(&trust->proxies, peer))
        return true;
    mp_log(server->log, once(&trust->told_stranger),
           "closed a connection from %s, which is not in --proxy-allow-from (%s): with "
           "--proxy-protocol only proxies may connect. Further ones are logged at level debug",
           name_of(peer, text), server->options->proxy_allow);
    return false;
}

/* Always BAD. */
static enum mp_http_outcome refuse_header(struct mp_conn *conn, const char *reason)
{
    const struct mp_server *server = conn->reactor->server;
    char text[MP_SOCKADDR_TEXT];
    mp_log(server->log, once(&server->trust->told_no_header),
           "closed a connection from %s: %s; --proxy-protocol wants each to begin with a header. "
           "Further ones are logged at level debug",
           name_of(&conn->peer, text), reason);
    conn->request->head.status = 400;
    conn->request->head.reason = reason;
    return MP_HTTP_BAD;
}

enum mp_http_outcome mp_trust_read_proxy(struct mp_conn *conn)
{
    struct mp_request *request = conn->request;
    unsigned versions = conn->reactor->server->options->proxy_versions;
    struct mp_http_proxy proxy;
    size_t size = 0;
    enum mp_http_outcome outcome =
        mp_http_proxy_parse(request->text, request->size, versions, &proxy, &size);
    if (outcome == MP_HTTP_BAD)
        return refuse_header(conn, proxy.reason);
    if (outcome == MP_HTTP_MORE)
        return outcome;
    conn->awaits_proxy = false;
    if (proxy.ip.version != MP_IP_NONE)
        conn->peer = address_of(&proxy.ip, proxy.port);
    else if (!proxy.local)
        conn->hidden = true;
    request->size -= size;
    memmove(request->text, request->text + size, request->size);
    return outcome;
}

/* ---- fields -------------------------------------------------------------------------------- */

static void remove_fields(struct mp_conn *conn)
{
    const struct mp_server *server = conn->reactor->server;
    struct mp_request *request = conn->request;
    char text[MP_SOCKADDR_TEXT];
    uint32_t count = mp_http_forwarded_remove(&request->head, request->text);
    mp_log(server->log, once(&server->trust->told_removed),
           "removed %u forwarded fields (X-Forwarded-For and the like) from a request of %s, which "
           "is not in --forwarded-allow-ips (%s). If that is a proxy of yours, add it there; "
           "--forwarded-headers off leaves them to the application, whoever sends them. Further "
           "ones are logged at level debug",
           (unsigned)count, name_of(&conn->peer, text), server->options->forwarded_allow);
}

static bool refuse_fields(struct mp_conn *conn, const char *reason)
{
    const struct mp_server *server = conn->reactor->server;
    char text[MP_SOCKADDR_TEXT];
    mp_log(server->log, once(&server->trust->told_unclear),
           "answered a request 400 that came through the proxy %s: %s. Further ones are logged at "
           "level debug",
           name_of(&conn->peer, text), reason);
    conn->request->head.status = 400;
    conn->request->head.reason = reason;
    return false;
}

bool mp_trust_read_forwarded(struct mp_conn *conn)
{
    const struct mp_server *server = conn->reactor->server;
    struct mp_request *request = conn->request;
    struct mp_http_forwarded *forwarded = &request->forwarded;
    struct mp_http_head *head = &request->head;
    const struct mp_ip_set *trusted = &server->trust->forwarders;
    if (server->options->forwarded == MP_FORWARDED_OFF)
        return true;
    if (conn->hidden || !is_in(trusted, &conn->peer)) {
        remove_fields(conn);
        return true;
    }
    if (mp_http_forwarded_read(head, request->text, server->options->forwarded, trusted,
                               forwarded) == MP_HTTP_BAD)
        return refuse_fields(conn, forwarded->reason);
    request->client = address_of(&forwarded->ip, forwarded->port);
    if (forwarded->host.len > 0) {
        head->host = forwarded->host;
        head->has_host = true;
    }
    return true;
}
