/* SPDX-License-Identifier: MIT */
/*
 * The writer of response heads. The first two bytes are the capacity; then come calls: a byte that
 * chooses one, and its texts, each a length byte and that many bytes.
 *
 * Checked: nothing is written behind the capacity or after a refusal; the output has exactly one
 * line for each call that succeeded, with no control byte in it.
 */
#include <errno.h>

#include "fuzz.h"
#include "http/response.h"

struct input {
    const uint8_t *data;
    size_t left;
};

static uint8_t take(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->data++;
}

/* A text in a buffer of its own; the caller frees it. */
static char *take_text(struct input *in, size_t *ret_len)
{
    size_t len = take(in);

    if (len > in->left)
        len = in->left;
    char *text = fuzz_copy(in->data, len);
    in->data += len;
    in->left -= len;
    *ret_len = len;
    return text;
}

static int call(struct mp_http_out *out, struct input *in)
{
    size_t name_len, value_len;
    uint8_t choice = take(in);
    char *name = take_text(in, &name_len);
    char *value = take_text(in, &value_len);
    char date[MP_HTTP_DATE_SIZE];
    uint64_t number = 0;
    int result;

    memcpy(&number, value, value_len < 8 ? value_len : 8);
    mp_http_date_format(date, (int64_t)number);
    (void)mp_http_is_hop_by_hop(name, name_len);
    switch (choice % 5) {
    case 0:
        result = mp_http_out_status(out, (int)number, name, name_len);
        break;
    case 1:
        result = mp_http_out_status(out, choice * 4, NULL, 0);
        break;
    case 2:
        result = mp_http_out_number(out, name, name_len, number);
        break;
    case 3:
        result = mp_http_out_date(out, date);
        break;
    default:
        result = mp_http_out_field(out, name, name_len, value, value_len);
        FUZZ_CHECK((result == -EINVAL) !=
                   (mp_http_name_valid(name, name_len) && mp_http_value_valid(value, value_len)));
        break;
    }
    free(name);
    free(value);
    return result;
}

static void check_lines(const struct mp_http_out *out, size_t lines)
{
    const char *p = out->buf, *end = out->buf + out->len;

    for (; lines > 0; lines--) {
        const char *line_end = memmem(p, (size_t)(end - p), "\r\n", 2);
        FUZZ_CHECK(line_end != NULL && line_end > p);
        for (; p < line_end; p++)
            FUZZ_CHECK(((unsigned char)*p >= ' ' && *p != 0x7f) || *p == '\t');
        p += 2;
    }
    FUZZ_CHECK(p == end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    size_t cap = take(&in);

    cap = (cap << 8 | take(&in)) % 4096;
    struct mp_http_out out = {.buf = malloc(cap + 1), .cap = cap};
    FUZZ_CHECK(out.buf != NULL);
    out.buf[cap] = '#';
    size_t lines = 0;
    while (in.left > 0) {
        size_t before = out.len;
        int result = call(&out, &in);
        FUZZ_CHECK(result == 0 || result == -EINVAL || result == -ENOSPC);
        FUZZ_CHECK(result == 0 ? out.len > before && out.len <= cap : out.len == before);
        lines += result == 0;
    }
    FUZZ_CHECK(out.buf[cap] == '#');
    check_lines(&out, lines);
    free(out.buf);
    return 0;
}
