/* SPDX-License-Identifier: MIT */
/*
 * The chunked coding as a machine of one byte a step, but for data, which goes by in runs.
 *
 *   SIZE --hex--> SIZE --CR--> SIZE_LF --LF--> DATA --last byte--> DATA_CR --> DATA_LF --> SIZE
 *    |                            |
 *    ';'                          '--size 0--> TRAILER --tchar--> NAME --':'--> VALUE --CR-->
 * LINE_LF v                                          ^  | | extensions --CR--> SIZE_LF |  CR-->
 * LAST_LF --LF--> END                     |
 *                                               '------------------------------------------------'
 *
 * No step looks back, so that the work is linear however small the pieces and the chunks are.
 */
#include "http/chunked.h"

#include "http/chars.h"

enum state {
    SIZE,          /* digits of a chunk size */
    EXT_NAME,      /* behind ';': the first byte of a name */
    EXT_NAME_MORE, /* the others, or '=', or the end of the extension */
    EXT_VALUE,     /* behind '=': the first byte of a token, or a quote */
    EXT_TOKEN,     /* the others */
    EXT_QUOTED,    /* inside a quoted string */
    EXT_ESCAPED,   /* behind a backslash in it */
    EXT_CLOSED,    /* behind its closing quote */
    SIZE_LF,       /* behind the CR of a size line */
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* at the beginning of a line of the trailer section */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF, /* behind the CR of the empty line */
    END,
    REFUSED,
};

/* Bytes of body that earn one more byte of extensions. */
enum { BODY_PER_EXTENSION_BYTE = 64, SIZE_DIGITS_MAX = 16 };

void mp_http_chunked_init(struct mp_http_chunked *c, const struct mp_http_limits *limits)
{
    *c = (struct mp_http_chunked){.limits = *limits, .state = SIZE};
}

static bool refuse(struct mp_http_chunked *c, int status, const char *reason)
{
    c->state = REFUSED;
    c->status = status;
    c->reason = reason;
    return false;
}

static bool expect(struct mp_http_chunked *c, char byte, char wanted, enum state next)
{
    if (byte != wanted)
        return refuse(c, 400, "chunk or trailer line that does not end in CRLF");
    c->state = (uint8_t)next;
    return true;
}

static bool step_size(struct mp_http_chunked *c, char byte)
{
    int digit = mp_http_hex_value(byte);

    if (digit >= 0) {
        if (++c->digits > SIZE_DIGITS_MAX)
            return refuse(c, 400, "chunk size has too many digits");
        c->left = c->left << 4 | (unsigned)digit;
        return true;
    }
    if (c->digits == 0 || (byte != '\r' && byte != ';'))
        return refuse(c, 400, "chunk size is not a hexadecimal number");
    if (c->left > INT64_MAX - c->body)
        return refuse(c, 400, "chunk size is too large a number");
    c->chunks += c->left > 0;
    c->state = byte == '\r' ? SIZE_LF : EXT_NAME;
    return true;
}

/* Behind a complete extension: another one, or the end of the line. */
static bool extension_end(struct mp_http_chunked *c, char byte)
{
    if (byte != ';' && byte != '\r')
        return refuse(c, 400, "malformed chunk extension");
    c->state = byte == '\r' ? SIZE_LF : EXT_NAME;
    return true;
}

static bool step_extension(struct mp_http_chunked *c, char byte)
{
    bool is_token = mp_http_char_is(byte, MP_HTTP_CHAR_TOKEN);

    if (++c->extension > c->limits.field_size + c->body / BODY_PER_EXTENSION_BYTE)
        return refuse(c, 400, "too much in chunk extensions");
    switch ((enum state)c->state) {
    case EXT_NAME:
        c->state = EXT_NAME_MORE;
        return is_token || refuse(c, 400, "malformed chunk extension");
    case EXT_NAME_MORE:
        if (byte == '=')
            c->state = EXT_VALUE;
        return is_token || byte == '=' || extension_end(c, byte);
    case EXT_VALUE:
        c->state = byte == '"' ? EXT_QUOTED : EXT_TOKEN;
        return is_token || byte == '"' || refuse(c, 400, "malformed chunk extension");
    case EXT_TOKEN:
        return is_token || extension_end(c, byte);
    case EXT_QUOTED:
        if (byte == '"')
            c->state = EXT_CLOSED;
        else if (byte == '\\')
            c->state = EXT_ESCAPED;
        break;
    case EXT_ESCAPED:
        c->state = EXT_QUOTED;
        break;
    default: /* EXT_CLOSED */
        return extension_end(c, byte);
    }
    if (mp_http_char_is(byte, MP_HTTP_CHAR_CONTROL))
        return refuse(c, 400, "control byte in chunk extension");
    return true;
}

/* The LF of a size line: data follows, or the trailer section. */
static bool step_size_lf(struct mp_http_chunked *c, char byte)
{
    c->body += c->left;
    c->digits = 0;
    return expect(c, byte, '\n', c->left > 0 ? DATA : TRAILER);
}

static bool step_trailer_line(struct mp_http_chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case TRAILER:
        if (byte == '\r') {
            c->state = LAST_LF;
            return true;
        }
        if (!mp_http_char_is(byte, MP_HTTP_CHAR_TOKEN))
            return refuse(c, 400, "malformed trailer field");
        if (++c->trailers > c->limits.fields)
            return refuse(c, 431, "too many trailer fields");
        c->trailer_line = 0;
        c->state = TRAILER_NAME;
        break;
    case TRAILER_NAME:
        if (byte == ':')
            c->state = TRAILER_VALUE;
        else if (!mp_http_char_is(byte, MP_HTTP_CHAR_TOKEN))
            return refuse(c, 400, "bad byte in trailer field name");
        break;
    default: /* TRAILER_VALUE */
        if (byte == '\r') {
            c->state = TRAILER_LF;
            return true;
        }
        if (mp_http_char_is(byte, MP_HTTP_CHAR_CONTROL))
            return refuse(c, 400, "control byte in trailer field value");
        break;
    }
    if (++c->trailer_line > c->limits.field_size)
        return refuse(c, 431, "trailer field line too long");
    return true;
}

static bool step_trailer(struct mp_http_chunked *c, char byte)
{
    if (++c->trailer_size > c->limits.head)
        return refuse(c, 431, "trailer section too large");
    if (c->state == TRAILER_LF)
        return expect(c, byte, '\n', TRAILER);
    if (c->state == LAST_LF)
        return expect(c, byte, '\n', END);
    return step_trailer_line(c, byte);
}

/* Any byte that is not data. False: refused. */
static bool step(struct mp_http_chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE:
        return step_size(c, byte);
    case SIZE_LF:
        return step_size_lf(c, byte);
    case DATA_CR:
        return expect(c, byte, '\r', DATA_LF);
    case DATA_LF:
        return expect(c, byte, '\n', SIZE);
    default:
        return c->state < SIZE_LF ? step_extension(c, byte) : step_trailer(c, byte);
    }
}

enum mp_http_outcome mp_http_chunked_next(struct mp_http_chunked *c, const char *in, size_t n,
                                          size_t *ret_used, struct mp_http_span *ret_data)
{
    uint32_t end = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
    uint32_t at = 0;
    uint32_t run = 0;

    if (c->state == REFUSED)
        return MP_HTTP_BAD;
    while (at < end && c->state != DATA && c->state != END)
        if (!step(c, in[at++]))
            return MP_HTTP_BAD;
    if (c->state == DATA) {
        run = c->left < end - at ? (uint32_t)c->left : end - at;
        c->left -= run;
        if (c->left == 0)
            c->state = DATA_CR;
    }
    *ret_used = (size_t)at + run;
    *ret_data = (struct mp_http_span){at, run};
    return c->state == END ? MP_HTTP_DONE : MP_HTTP_MORE;
}
