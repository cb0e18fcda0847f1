/* SPDX-License-Identifier: MIT */
/* Nodes of RFC 7239 section 6: node = nodename [ ":" node-port ]. */
#include "http/forwarded_private.h"

/* "_" and one or more letters, digits, '.', '_' and '-'. */
static bool is_obfuscated(const char *text, size_t n)
{
    if (n < 2 || text[0] != '_')
        return false;
    for (size_t i = 1; i < n; i++) {
        char c = (char)(text[i] | 0x20);
        if (!(c >= 'a' && c <= 'z') && !mp_http_is_digit(text[i]) && text[i] != '.' &&
            text[i] != '_' && text[i] != '-')
            return false;
    }
    return true;
}

/* Nothing, or a colon and a port. */
static bool port_parse(const char *text, size_t n, uint16_t *ret_port)
{
    unsigned number = 0;
    *ret_port = 0;
    if (n == 0)
        return true;
    if (*text != ':')
        return false;
    text++;
    n--;
    if (is_obfuscated(text, n))
        return true;
    for (size_t i = 0; i < n; i++) {
        if (!mp_http_is_digit(text[i]))
            return false;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *ret_port = (uint16_t)number;
    return n > 0 && n <= 5 && number <= UINT16_MAX;
}

bool mp_http_node_parse(const char *text, size_t n, bool bare, struct mp_http_node *ret_node)
{
    struct mp_http_node node = {0};
    const char *port;
    *ret_node = node;
    if (n == 0)
        return false;
    if (*text == '[') {
        port = memchr(text, ']', n);
        if (!port || mp_ip_parse(text + 1, (size_t)(port - text) - 1, &node.ip) < 0 ||
            node.ip.version != MP_IP_V6)
            return false;
        port++;
    } else {
        const char *colon = memchr(text, ':', n);
        port = colon ? colon : text + n;
        size_t size = (size_t)(port - text);
        bool named = MP_HTTP_IS_TOKEN(text, size, "unknown") || is_obfuscated(text, size);
        if (bare && colon && memchr(colon + 1, ':', n - size - 1)) {
            port = text + n;
            size = n;
            named = false;
        }
        if (!named && mp_ip_parse(text, size, &node.ip) < 0)
            return false;
    }
    if (!port_parse(port, (size_t)(text + n - port), &node.port))
        return false;
    *ret_node = node;
    return true;
}
