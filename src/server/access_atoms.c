/* SPDX-License-Identifier: MIT */
/* What the atoms of the access log stand for; see access_atoms.h. */
#include "server/access_atoms.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "http/uri.h"
#include "os/clock.h"
#include "server/internal.h"
#include "server/request.h"

/*
 * Bytes, escaped, of a value at most. The sums of what combined and JSON lines have are below
 * MP_ACCESS_LINE, so that those two are cut in their values and nowhere else.
 */
enum {
    TARGET_MOST = 1600,
    FIELD_MOST = 768,
    NAME_MOST = 256, /* hosts, users */
    RESERVE = 16,    /* for what ends the line */
};

static const char cut_mark[] = "...(cut)";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* ---- text -------------------------------------------------------------------------------- */

static void put(struct mp_access_line *line, const char *text, size_t n)
{
    if (line->full || line->size + n > sizeof(line->text) - RESERVE) {
        line->full = true;
        return;
    }
    memcpy(line->text + line->size, text, n);
    line->size += n;
}

static void put_words(struct mp_access_line *line, const char *text)
{
    put(line, text, strlen(text));
}

MP_PRINTF(2, 3) static void put_number(struct mp_access_line *line, const char *format, ...)
{
    char text[64];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(line, text, n > 0 ? (size_t)n : 0);
}

/* At most so many bytes of it, once it is escaped. */
static void put_escaped(struct mp_access_line *line, const char *text, size_t n, size_t most)
{
    size_t begin = line->size;
    size_t used;
    for (size_t i = 0; i < n; i += used) {
        char unit[MP_ESCAPE_UNIT];
        size_t len = mp_escape_unit(line->how, text + i, n - i, unit, &used);
        if (line->size - begin + len > most) {
            put_words(line, cut_mark);
            return;
        }
        put(line, unit, len);
    }
}

static void put_value(struct mp_access_line *line, const char *text, size_t n, size_t most)
{
    if (n == 0)
        put(line, "-", 1);
    else
        put_escaped(line, text, n, most);
}

static void put_span(struct mp_access_line *line, const struct mp_access_record *record,
                     struct mp_http_span span, size_t most)
{
    put_value(line, record->request->text + span.at, span.len, most);
}

/* ---- fields ------------------------------------------------------------------------------ */

struct text {
    const char *at;
    size_t len;
};

static struct text find_request_field(const struct mp_access_record *record, const char *name,
                                      size_t len)
{
    const struct mp_request *request = record->request;
    const struct mp_http_head *head = request ? &request->head : NULL;
    for (uint32_t i = 0; head && i < head->field_count; i++) {
        const struct mp_http_field *field = &head->fields[i];
        if (field->name.len == len && field->value.len > 0 &&
            strncasecmp(request->text + field->name.at, name, len) == 0)
            return (struct text){request->text + field->value.at, field->value.len};
    }
    return (struct text){"", 0};
}

/* In the head as it was sent. */
static struct text find_response_field(const struct mp_access_record *record, const char *name,
                                       size_t len)
{
    const char *line = record->head ? strstr(record->head, "\r\n") : NULL;
    while (line && line[2] != '\r') {
        const char *at = line + 2;
        line = strstr(at, "\r\n");
        if (!line || strncasecmp(at, name, len) != 0 || at[len] != ':')
            continue;
        at += len + 1;
        at += *at == ' ';
        return (struct text){at, (size_t)(line - at)};
    }
    return (struct text){"", 0};
}

/* ---- basic authentication ---------------------------------------------------------------- */

static int base64_value(char letter)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = letter ? strchr(letters, letter) : NULL;
    return found ? (int)(found - letters) : -1;
}

/* The beginning of what text says, size bytes at most. */
static size_t decode_base64(struct text text, char *out, size_t size)
{
    unsigned bits = 0;
    unsigned count = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.len && n < size; i++) {
        int value = base64_value(text.at[i]);
        if (value < 0)
            break;
        bits = bits << 6 | (unsigned)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[n++] = (char)(bits >> count & 0xff);
        }
    }
    return n;
}

static void put_user(struct mp_access_line *line, const struct mp_access_record *record)
{
    char text[NAME_MOST + 1]; /* one more than is put: then the mark is, too */
    struct text field = find_request_field(record, "authorization", 13);
    size_t n = 0;
    if (field.len > 6 && strncasecmp(field.at, "basic ", 6) == 0)
        n = decode_base64((struct text){field.at + 6, field.len - 6}, text, sizeof(text));
    const char *end = memchr(text, ':', n);
    put_value(line, text, end ? (size_t)(end - text) : n, NAME_MOST);
}

/* ---- times ------------------------------------------------------------------------------- */

static void put_time(struct mp_access_line *line)
{
    time_t seconds = (time_t)mp_clock_wall_seconds();
    struct tm tm;
    localtime_r(&seconds, &tm);
    long zone = tm.tm_gmtoff / 60;
    char sign = zone < 0 ? '-' : '+';
    zone = zone < 0 ? -zone : zone;
    /* By hand: strftime's names of months are those of the application's locale. */
    put_number(line, "[%02d/%.3s/%04d:%02d:%02d:%02d %c%02ld%02ld]", tm.tm_mday,
               months + (size_t)3 * (size_t)tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
               tm.tm_sec, sign, zone / 60, zone % 60);
}

static void put_utc(struct mp_access_line *line)
{
    int64_t wall = mp_clock_wall();
    time_t seconds = (time_t)(wall / MP_NSEC_PER_SEC);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    put_number(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
               tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
               (int)(wall % MP_NSEC_PER_SEC / MP_NSEC_PER_MSEC));
}

/* From the request that was complete to its answer; 0 for what was no request. */
static int64_t duration(const struct mp_access_record *record)
{
    int64_t ns = record->request ? record->now - record->request->ready_at : 0;
    return ns > 0 ? ns : 0;
}

static bool had_handler(const struct mp_access_record *record)
{
    return record->request && record->request->thread;
}

static int64_t queue_wait(const struct mp_access_record *record)
{
    return record->request->started_at - record->request->ready_at;
}

static int64_t handler_time(const struct mp_access_record *record)
{
    return record->now - record->request->started_at;
}

static void put_seconds(struct mp_access_line *line, int64_t ns)
{
    long long microseconds = (long long)((ns > 0 ? ns : 0) / MP_NSEC_PER_USEC);
    put_number(line, "%lld.%06lld", microseconds / 1000000, microseconds % 1000000);
}

/* ---- atoms ------------------------------------------------------------------------------- */

static const struct mp_sockaddr *client_of(const struct mp_access_record *record)
{
    return record->request ? mp_request_peer(record->request) : &record->conn->peer;
}

static void put_client(struct mp_access_line *line, const struct mp_access_record *record)
{
    char text[MP_SOCKADDR_TEXT];
    put_value(line, text, mp_sockaddr_host(client_of(record), text, sizeof(text)), NAME_MOST);
}

static void put_protocol(struct mp_access_line *line, const struct mp_access_record *record)
{
    put_number(line, "HTTP/1.%u", record->request->head.minor);
}

static void put_request_line(struct mp_access_line *line, const struct mp_access_record *record)
{
    put_span(line, record, record->request->head.method_name, NAME_MOST);
    put(line, " ", 1);
    put_span(line, record, record->request->head.target, TARGET_MOST);
    put(line, " ", 1);
    put_protocol(line, record);
}

static void put_query(struct mp_access_line *line, const struct mp_access_record *record,
                      bool marked)
{
    struct mp_http_span query = record->request->head.query;
    if (marked && query.len > 0)
        put(line, "?", 1);
    if (query.len > 0)
        put_span(line, record, query, TARGET_MOST);
}

/* As PATH_INFO has it, before a proxy's prefix is taken from it. An escape that is none stays. */
static void put_decoded_path(struct mp_access_line *line, const struct mp_access_record *record)
{
    const struct mp_http_head *head = &record->request->head;
    bool is_path = head->form == MP_HTTP_ORIGIN || head->form == MP_HTTP_ABSOLUTE;
    const char *path = record->request->text + head->path.at;
    size_t len = is_path ? head->path.len : 0;
    char text[TARGET_MOST + 1];
    size_t n = 0;
    for (size_t i = 0; i < len && n < sizeof(text); n++) {
        char decoded[3]; /* as many bytes as are read may be written */
        bool escape = len - i >= 3 && mp_http_path_decode(path + i, 3, decoded) == 1;
        text[n] = escape ? decoded[0] : path[i];
        i += escape ? 3 : 1;
    }
    put_value(line, text, n, TARGET_MOST);
}

/* Of a request whose head was understood. */
static void put_of_head(struct mp_access_line *line, enum mp_access_atom atom,
                        const struct mp_access_record *record)
{
    const struct mp_http_head *head = &record->request->head;
    switch (atom) {
    case MP_ATOM_REQUEST_LINE:
        put_request_line(line, record);
        break;
    case MP_ATOM_METHOD:
        put_span(line, record, head->method_name, NAME_MOST);
        break;
    case MP_ATOM_TARGET:
        put_span(line, record, head->target, TARGET_MOST);
        break;
    case MP_ATOM_PATH:
        put_span(line, record, head->path, TARGET_MOST);
        break;
    case MP_ATOM_PATH_DECODED:
        put_decoded_path(line, record);
        break;
    case MP_ATOM_QUERY:
    case MP_ATOM_QUERY_MARKED:
        put_query(line, record, atom == MP_ATOM_QUERY_MARKED);
        break;
    case MP_ATOM_PROTOCOL:
        put_protocol(line, record);
        break;
    case MP_ATOM_HOST:
        put_span(line, record, head->host, NAME_MOST);
        break;
    default:
        put(line, "-", 1);
        break;
    }
}

/* Of a request that a handler has run for. */
static void put_of_handler(struct mp_access_line *line, enum mp_access_atom atom,
                           const struct mp_access_record *record)
{
    if (atom == MP_ATOM_QUEUE_WAIT)
        put_seconds(line, queue_wait(record));
    else if (atom == MP_ATOM_HANDLER_TIME)
        put_seconds(line, handler_time(record));
    else
        put_number(line, "%u", record->request->thread->index + 1);
}

static void put_size(struct mp_access_line *line, uint64_t size, bool or_none)
{
    if (size == 0 && or_none)
        put(line, "-", 1);
    else
        put_number(line, "%llu", (unsigned long long)size);
}

static void put_client_port(struct mp_access_line *line, const struct mp_access_record *record)
{
    unsigned port = mp_sockaddr_port(client_of(record));
    if (port == 0)
        put(line, "-", 1);
    else
        put_number(line, "%u", port);
}

static void put_duration(struct mp_access_line *line, enum mp_access_atom atom, int64_t time)
{
    if (atom == MP_ATOM_SECONDS)
        put_number(line, "%lld", (long long)(time / MP_NSEC_PER_SEC));
    else if (atom == MP_ATOM_MILLISECONDS)
        put_number(line, "%lld", (long long)(time / MP_NSEC_PER_MSEC));
    else if (atom == MP_ATOM_MICROSECONDS)
        put_number(line, "%lld", (long long)(time / MP_NSEC_PER_USEC));
    else
        put_seconds(line, time);
}

static void put_field(struct mp_access_line *line, const struct mp_access_step *step,
                      const struct mp_access_record *record)
{
    struct text field = step->atom == MP_ATOM_REQUEST_FIELD
                            ? find_request_field(record, step->text, step->len)
                            : find_response_field(record, step->text, step->len);
    put_value(line, field.at, field.len, FIELD_MOST);
}

void mp_access_atom_put(struct mp_access_line *line, const struct mp_access_step *step,
                        const struct mp_access_record *record)
{
    switch (step->atom) {
    case MP_ATOM_TEXT:
        put(line, step->text, step->len);
        break;
    case MP_ATOM_NONE:
        put(line, "-", 1);
        break;
    case MP_ATOM_CLIENT:
        put_client(line, record);
        break;
    case MP_ATOM_CLIENT_PORT:
        put_client_port(line, record);
        break;
    case MP_ATOM_USER:
        put_user(line, record);
        break;
    case MP_ATOM_TIME:
        put_time(line);
        break;
    case MP_ATOM_STATUS:
        put_number(line, "%d", record->status);
        break;
    case MP_ATOM_SIZE:
    case MP_ATOM_SIZE_OR_NONE:
        put_size(line, record->size, step->atom == MP_ATOM_SIZE_OR_NONE);
        break;
    case MP_ATOM_SECONDS:
    case MP_ATOM_DURATION:
    case MP_ATOM_MILLISECONDS:
    case MP_ATOM_MICROSECONDS:
        put_duration(line, step->atom, duration(record));
        break;
    case MP_ATOM_QUEUE_WAIT:
    case MP_ATOM_HANDLER_TIME:
    case MP_ATOM_THREAD:
        if (had_handler(record))
            put_of_handler(line, step->atom, record);
        else
            put(line, "-", 1);
        break;
    case MP_ATOM_WORKER:
        put_number(line, "%u", record->worker);
        break;
    case MP_ATOM_PID:
        put_number(line, "%d", (int)getpid());
        break;
    case MP_ATOM_REQUEST_FIELD:
    case MP_ATOM_RESPONSE_FIELD:
        put_field(line, step, record);
        break;
    default:
        if (record->request)
            put_of_head(line, step->atom, record);
        else
            put(line, "-", 1);
        break;
    }
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void put_key(struct mp_access_line *line, const char *key)
{
    put_words(line, ",\"");
    put_words(line, key);
    put_words(line, "\":");
}

static void put_string(struct mp_access_line *line, const char *key, struct text value, size_t most)
{
    put_key(line, key);
    if (value.len == 0) {
        put_words(line, "null");
        return;
    }
    put(line, "\"", 1);
    put_escaped(line, value.at, value.len, most);
    put(line, "\"", 1);
}

static struct text text_of(const struct mp_access_record *record, struct mp_http_span span)
{
    return (struct text){record->request->text + span.at, span.len};
}

static void put_json_request(struct mp_access_line *line, const struct mp_access_record *record)
{
    static const struct text versions[] = {{"HTTP/1.0", 8}, {"HTTP/1.1", 8}};
    const struct mp_http_head *head = record->request ? &record->request->head : NULL;
    const struct text none = {"", 0};
    put_string(line, "method", head ? text_of(record, head->method_name) : none, NAME_MOST);
    put_string(line, "target", head ? text_of(record, head->target) : none, TARGET_MOST);
    put_string(line, "protocol", head ? versions[head->minor != 0] : none, NAME_MOST);
    put_string(line, "host", head ? text_of(record, head->host) : none, NAME_MOST);
}

static void put_json_times(struct mp_access_line *line, const struct mp_access_record *record)
{
    put_key(line, "duration");
    put_seconds(line, duration(record));
    if (!had_handler(record)) {
        put_words(line, ",\"queue_wait\":null,\"handler_time\":null");
        return;
    }
    put_key(line, "queue_wait");
    put_seconds(line, queue_wait(record));
    put_key(line, "handler_time");
    put_seconds(line, handler_time(record));
}

void mp_access_json_put(struct mp_access_line *line, const struct mp_access_record *record)
{
    char client[MP_SOCKADDR_TEXT];
    size_t n = mp_sockaddr_host(client_of(record), client, sizeof(client));
    put_words(line, "{\"time\":\"");
    put_utc(line);
    put(line, "\"", 1);
    put_string(line, "client", (struct text){client, n}, NAME_MOST);
    put_json_request(line, record);
    put_number(line, ",\"status\":%d,\"size\":%llu", record->status,
               (unsigned long long)record->size);
    put_string(line, "referer", find_request_field(record, "referer", 7), FIELD_MOST);
    put_string(line, "user_agent", find_request_field(record, "user-agent", 10), FIELD_MOST);
    put_json_times(line, record);
    put_number(line, ",\"worker\":%u,\"thread\":", record->worker);
    if (had_handler(record))
        put_number(line, "%u", record->request->thread->index + 1);
    else
        put_words(line, "null");
    put_number(line, ",\"pid\":%d}", (int)getpid());
}
