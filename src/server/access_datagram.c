/* SPDX-License-Identifier: MIT */
#include "server/access_datagram.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "os/clock.h"
#include "server/internal.h"
#include "server/request.h"

/* As in a datagram's text: fields of the journal are cut at this. */
enum { FIELD_MOST = 1024 };

struct datagram {
    char *bytes;
    size_t size;
};

static void put(struct datagram *datagram, const void *bytes, size_t n)
{
    memcpy(datagram->bytes + datagram->size, bytes, n);
    datagram->size += n;
}

/* ---- fields of the journal --------------------------------------------------------------- */

MP_PRINTF(2, 3) static void put_field(struct datagram *datagram, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(datagram, text, n > 0 && (size_t)n < sizeof(text) ? (size_t)n : 0);
    put(datagram, "\n", 1);
}

/* What has been parsed as a head has no line ends. */
static void put_span(struct datagram *datagram, const char *name, const struct mp_request *request,
                     struct mp_http_span span)
{
    put(datagram, name, strlen(name));
    put(datagram, request->text + span.at, span.len < FIELD_MOST ? span.len : FIELD_MOST);
    put(datagram, "\n", 1);
}

static long long microseconds(int64_t ns)
{
    return (long long)((ns > 0 ? ns : 0) / MP_NSEC_PER_USEC);
}

static void put_request_fields(struct datagram *datagram, const struct mp_access_record *record)
{
    const struct mp_request *request = record->request;
    put_span(datagram, "MILLPOND_METHOD=", request, request->head.method_name);
    put_span(datagram, "MILLPOND_TARGET=", request, request->head.target);
    put_field(datagram, "MILLPOND_DURATION_USEC=%lld",
              microseconds(record->now - request->ready_at));
    if (!request->thread)
        return;
    put_field(datagram, "MILLPOND_THREAD=%u", request->thread->index + 1);
    put_field(datagram, "MILLPOND_QUEUE_WAIT_USEC=%lld",
              microseconds(request->started_at - request->ready_at));
    put_field(datagram, "MILLPOND_HANDLER_TIME_USEC=%lld",
              microseconds(record->now - request->started_at));
}

static void put_fields(struct datagram *datagram, const struct mp_access_record *record)
{
    char client[MP_SOCKADDR_TEXT];
    const struct mp_sockaddr *peer =
        record->request ? mp_request_peer(record->request) : &record->conn->peer;
    if (mp_sockaddr_host(peer, client, sizeof(client)) > 0)
        put_field(datagram, "MILLPOND_CLIENT=%s", client);
    put_field(datagram, "MILLPOND_STATUS=%d", record->status);
    put_field(datagram, "MILLPOND_SIZE=%llu", (unsigned long long)record->size);
    put_field(datagram, "MILLPOND_WORKER=%u", record->worker);
    if (record->request)
        put_request_fields(datagram, record);
}

/* ---- datagrams --------------------------------------------------------------------------- */

size_t mp_access_datagram_make(const struct mp_log_sink *sink,
                               const struct mp_access_record *record,
                               const struct mp_access_line *line, char out[MP_ACCESS_DATAGRAM])
{
    uint32_t size;
    struct datagram datagram = {.bytes = out + sizeof(size)};
    datagram.size = mp_log_sink_head(sink, MP_LOG_INFO, datagram.bytes);
    if (sink->protocol == MP_LOG_JOURNALD) {
        put_fields(&datagram, record);
        put(&datagram, "MESSAGE=", 8);
        put(&datagram, line->text, line->size);
    } else {
        put(&datagram, line->text, line->size - 1);
    }
    size = (uint32_t)datagram.size;
    memcpy(out, &size, sizeof(size));
    return sizeof(size) + size;
}

uint64_t mp_access_datagrams_send(const struct mp_log_sink *sink, int fd, const char *buffer,
                                  size_t size, size_t *at)
{
    uint64_t lost = 0;
    while (*at < size) {
        uint32_t n;
        memcpy(&n, buffer + *at, sizeof(n));
        int r = mp_log_sink_send(sink, fd, buffer + *at + sizeof(n), n);
        if (r == -EAGAIN)
            break;
        *at += sizeof(n) + n;
        if (r < 0) {
            mp_log_sink_lost(sink, 1, -r);
            lost++;
        }
    }
    return lost;
}
