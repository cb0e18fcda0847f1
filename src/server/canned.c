/* SPDX-License-Identifier: MIT */
#include "server/canned.h"

#include <string.h>

#include "base/assert.h"
#include "http/date.h"
#include "http/response.h"
#include "os/clock.h"

static int add_connection(struct mp_http_out *out, enum mp_canned_connection connection)
{
    switch (connection) {
    case MP_CANNED_CLOSE:
        return MP_HTTP_OUT_LINES(out, "Connection: close\r\n");
    case MP_CANNED_SAY_KEEP:
        return MP_HTTP_OUT_LINES(out, "Connection: keep-alive\r\n");
    case MP_CANNED_KEEP:
        break;
    }
    return 0;
}

size_t mp_canned_make(char *text, const struct mp_canned *canned)
{
    char date[MP_HTTP_DATE_SIZE];
    struct mp_http_out out = {.buf = text, .cap = MP_CANNED_SIZE};
    const char *body = canned->text ? canned->text : mp_http_reason(canned->status);
    size_t n = strlen(body);
    mp_http_date_format(date, mp_clock_wall_seconds());
    int r = mp_http_out_status(&out, canned->status, NULL, 0);
    r |= mp_http_out_date(&out, date);
    r |= MP_HTTP_OUT_LINES(&out, "Server: millpond\r\nContent-Type: text/plain; charset=utf-8\r\n");
    r |= mp_http_out_number(&out, "Content-Length", 14, n + 1);
    if (canned->retry_after > 0)
        r |= mp_http_out_number(&out, "Retry-After", 11, canned->retry_after);
    if (canned->no_store)
        r |= MP_HTTP_OUT_LINES(&out, "Cache-Control: no-store\r\n");
    r |= add_connection(&out, canned->connection);
    r |= mp_http_out_end(&out);
    mp_assert(r == 0 && out.len + n + 1 <= MP_CANNED_SIZE);
    if (!canned->head_only) {
        memcpy(text + out.len, body, n);
        text[out.len + n] = '\n';
        out.len += n + 1;
    }
    return out.len;
}
