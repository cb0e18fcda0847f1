/* SPDX-License-Identifier: MIT */
/*
 * Paths and authorities: the same bytes as both.
 *
 * Checked: decoding stays within bounds, is the same in place, and undoes encoding; a valid
 * authority splits into a valid one without port, and digits.
 */
#include <errno.h>

#include "fuzz.h"
#include "http/uri.h"

static void check_path(const char *in, size_t n)
{
    char *out = fuzz_copy(in, n);
    char *in_place = fuzz_copy(in, n);
    int size = mp_http_path_decode(in, n, out);

    FUZZ_CHECK(mp_http_path_decode(in_place, n, in_place) == size);
    FUZZ_CHECK(size == -EINVAL || (size >= 0 && (size_t)size <= n));
    if (memchr(in, '%', n) == NULL)
        FUZZ_CHECK((size_t)size == n && memcmp(in, out, n) == 0);
    if (size > 0) {
        FUZZ_CHECK(memcmp(out, in_place, (size_t)size) == 0);
        char *encoded = malloc((size_t)size * 3 + 1);
        FUZZ_CHECK(encoded != NULL);
        for (int i = 0; i < size; i++)
            snprintf(encoded + 3 * i, 4, "%%%02x", (unsigned char)out[i]);
        /* A NUL can only have been there unencoded. */
        int again = mp_http_path_decode(encoded, (size_t)size * 3, encoded);
        if (memchr(in, '\0', n) == NULL)
            FUZZ_CHECK(again == size && memcmp(encoded, out, (size_t)size) == 0);
        free(encoded);
    }
    free(in_place);
    free(out);
}

static void check_authority(const char *in, size_t n)
{
    struct mp_http_span host, port;

    mp_http_authority_split(in, n, &host, &port);
    FUZZ_CHECK((size_t)host.at + host.len <= n && (size_t)port.at + port.len <= n);
    if (!mp_http_authority_valid(in, n))
        return;
    FUZZ_CHECK(n > 0 && host.at == 0 && host.len > 0 && port.len <= n);
    FUZZ_CHECK(mp_http_authority_valid(in, host.len));
    FUZZ_CHECK(host.len == n || in[host.len] == ':');
    FUZZ_CHECK(host.len == n || host.len + 1 + port.len == n);
    for (size_t i = 0; i < port.len; i++)
        FUZZ_CHECK(in[port.at + i] >= '0' && in[port.at + i] <= '9');
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK((unsigned char)in[i] > ' ' && (unsigned char)in[i] < 0x7f &&
                   strchr("/?#@\\\"<>^`{|}", in[i]) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *in = fuzz_copy(data, size);

    check_path(in, size);
    check_authority(in, size);
    free(in);
    return 0;
}
