/* SPDX-License-Identifier: MIT */
/* Formats of the access log, compiled; see access_format.h. The text is copied, and steps refer to
 * pieces of the copy. */
#include "server/access_format.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/compiler.h"
#include "server/access_atoms.h"

enum { TEXT_MOST = 2048 };

struct mp_access_format {
    bool json;
    char *text;
    size_t count;
    struct mp_access_step steps[];
};

static const char combined[] = "%(h)s - - %(t)s \"%(r)s\" %(s)s %(B)s \"%(f)s\" \"%(a)s\" %(L)s";
static const char cut_mark[] = "...(cut)";

static const struct mp_access_step referer = {MP_ATOM_REQUEST_FIELD, "referer", 7};
static const struct mp_access_step user_agent = {MP_ATOM_REQUEST_FIELD, "user-agent", 10};

static const struct {
    const char *name; /* as in %(name)s */
    enum mp_access_atom atom;
} named[] = {
    {"h", MP_ATOM_CLIENT},
    {"l", MP_ATOM_NONE},
    {"u", MP_ATOM_USER},
    {"t", MP_ATOM_TIME},
    {"r", MP_ATOM_REQUEST_LINE},
    {"m", MP_ATOM_METHOD},
    {"U", MP_ATOM_PATH},
    {"q", MP_ATOM_QUERY},
    {"H", MP_ATOM_PROTOCOL},
    {"s", MP_ATOM_STATUS},
    {"B", MP_ATOM_SIZE},
    {"b", MP_ATOM_SIZE_OR_NONE},
    {"T", MP_ATOM_SECONDS},
    {"M", MP_ATOM_MILLISECONDS},
    {"D", MP_ATOM_MICROSECONDS},
    {"L", MP_ATOM_DURATION},
    {"p", MP_ATOM_PID},
    {"host", MP_ATOM_HOST},
    {"target", MP_ATOM_TARGET},
    {"port", MP_ATOM_CLIENT_PORT},
    {"queue_wait", MP_ATOM_QUEUE_WAIT},
    {"handler_time", MP_ATOM_HANDLER_TIME},
    {"worker", MP_ATOM_WORKER},
    {"thread", MP_ATOM_THREAD},
};

static const struct {
    const char *name; /* as in %name, %>name or %{argument}name */
    enum mp_access_atom atom;
} lettered[] = {
    {"a", MP_ATOM_CLIENT},       {"h", MP_ATOM_CLIENT},
    {"l", MP_ATOM_NONE},         {"u", MP_ATOM_USER},
    {"t", MP_ATOM_TIME},         {"r", MP_ATOM_REQUEST_LINE},
    {"m", MP_ATOM_METHOD},       {"U", MP_ATOM_PATH},
    {"q", MP_ATOM_QUERY_MARKED}, {"H", MP_ATOM_PROTOCOL},
    {"s", MP_ATOM_STATUS},       {"B", MP_ATOM_SIZE},
    {"b", MP_ATOM_SIZE_OR_NONE}, {"T", MP_ATOM_SECONDS},
    {"D", MP_ATOM_MICROSECONDS}, {"P", MP_ATOM_PID},
    {"{s}T", MP_ATOM_SECONDS},   {"{ms}T", MP_ATOM_MILLISECONDS},
    {"v", MP_ATOM_HOST},         {"{us}T", MP_ATOM_MICROSECONDS},
};

/* What of the environment is the request's own, in capitals or not; HTTP_* besides. */
static const struct {
    const char *name;
    enum mp_access_atom atom;
    const char *field;
} variables[] = {
    {"REQUEST_METHOD", MP_ATOM_METHOD, NULL},
    {"REQUEST_URI", MP_ATOM_TARGET, NULL},
    {"RAW_URI", MP_ATOM_TARGET, NULL},
    {"PATH_INFO", MP_ATOM_PATH_DECODED, NULL},
    {"QUERY_STRING", MP_ATOM_QUERY, NULL},
    {"SERVER_PROTOCOL", MP_ATOM_PROTOCOL, NULL},
    {"REMOTE_ADDR", MP_ATOM_CLIENT, NULL},
    {"REMOTE_PORT", MP_ATOM_CLIENT_PORT, NULL},
    {"CONTENT_TYPE", MP_ATOM_REQUEST_FIELD, "content-type"},
    {"CONTENT_LENGTH", MP_ATOM_REQUEST_FIELD, "content-length"},
};

/* ---- compiling --------------------------------------------------------------------------- */

struct compiler {
    struct mp_access_format *format;
    char *at; /* in the text */
    char *why;
};

/* Always -EINVAL. */
MP_PRINTF(2, 3) static int refuse(const struct compiler *compiler, const char *text, ...)
{
    va_list args;
    va_start(args, text);
    vsnprintf(compiler->why, MP_ACCESS_WHY, text, args);
    va_end(args);
    return -EINVAL;
}

/* As it stands in messages: not all of a text that never ends. */
static int shown(size_t len)
{
    return len < 60 ? (int)len : 60;
}

static int add(struct compiler *compiler, struct mp_access_step step)
{
    compiler->format->steps[compiler->format->count++] = step;
    return 0;
}

static bool is(const char *text, size_t len, const char *word)
{
    return strlen(word) == len && memcmp(text, word, len) == 0;
}

/* "{User-Agent}i" without the braces: a field of the request. */
static int add_field(struct compiler *compiler, enum mp_access_atom atom, const char *name,
                     size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!isalnum((unsigned char)name[i]) && !strchr("!#$%&'*+-.^_`|~", name[i]))
            return refuse(compiler, "%.*s is no name of a field", shown(len), name);
    }
    return add(compiler, (struct mp_access_step){atom, name, len});
}

/* HTTP_USER_AGENT: made into the name of a field, in place. */
static int add_http_variable(struct compiler *compiler, char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '_')
            name[i] = '-';
    }
    return add_field(compiler, MP_ATOM_REQUEST_FIELD, name, len);
}

static int add_variable(struct compiler *compiler, char *name, size_t len)
{
    for (size_t i = 0; i < mp_array_size(variables); i++) {
        const char *field = variables[i].field;
        if (strlen(variables[i].name) == len && strncasecmp(name, variables[i].name, len) == 0)
            return add(compiler, (struct mp_access_step){variables[i].atom, field,
                                                         field ? strlen(field) : 0});
    }
    if (len > 5 && strncasecmp(name, "HTTP_", 5) == 0)
        return add_http_variable(compiler, name + 5, len - 5);
    return refuse(compiler,
                  "{%.*s}e cannot be had: lines are written by the event core, which does not see "
                  "what is in the application's environ",
                  shown(len), name);
}

/* name: "{...}x", as a whole. */
static int add_with_argument(struct compiler *compiler, char *name, size_t len)
{
    char *argument = name + 1;
    size_t argument_len = len - 3;
    switch (len >= 4 && name[len - 2] == '}' ? name[len - 1] : '\0') {
    case 'i':
        return add_field(compiler, MP_ATOM_REQUEST_FIELD, argument, argument_len);
    case 'o':
        return add_field(compiler, MP_ATOM_RESPONSE_FIELD, argument, argument_len);
    case 'e':
        return add_variable(compiler, argument, argument_len);
    default:
        return refuse(compiler,
                      "unknown atom %.*s; with braces there are {header}i, {header}o and "
                      "{variable}e",
                      shown(len), name);
    }
}

static int add_named(struct compiler *compiler, char *name, size_t len)
{
    if (is(name, len, "f"))
        return add(compiler, referer);
    if (is(name, len, "a"))
        return add(compiler, user_agent);
    for (size_t i = 0; i < mp_array_size(named); i++) {
        if (is(name, len, named[i].name))
            return add(compiler, (struct mp_access_step){.atom = named[i].atom});
    }
    if (len > 0 && name[0] == '{')
        return add_with_argument(compiler, name, len);
    return refuse(compiler, "unknown atom %%(%.*s)s", shown(len), name);
}

/* at: behind "%(". */
static int compile_named(struct compiler *compiler)
{
    char *name = compiler->at;
    char *end = strchr(name, ')');
    if (!end || end[1] != 's')
        return refuse(compiler, "an atom must end in )s: %%(%.*s", shown(strlen(name)), name);
    compiler->at = end + 2;
    return add_named(compiler, name, (size_t)(end - name));
}

static int add_lettered(struct compiler *compiler, char *name, size_t len)
{
    for (size_t i = 0; i < mp_array_size(lettered); i++) {
        if (is(name, len, lettered[i].name))
            return add(compiler, (struct mp_access_step){.atom = lettered[i].atom});
    }
    if (len > 1)
        return add_with_argument(compiler, name, len);
    return refuse(compiler, "unknown atom %%%.*s", (int)len, name);
}

/* at: behind '%', which is not a "%(". */
static int compile_lettered(struct compiler *compiler)
{
    char *name = compiler->at + (*compiler->at == '>');
    char *end = *name == '{' ? strchr(name, '}') : name - 1;
    if (!end || !end[1])
        return refuse(compiler, "an atom has no end: %%%.*s", shown(strlen(name)), name);
    compiler->at = end + 2;
    return add_lettered(compiler, name, (size_t)(end + 2 - name));
}

/* at: behind '%'. */
static int compile_atom(struct compiler *compiler)
{
    if (*compiler->at == '(') {
        compiler->at++;
        return compile_named(compiler);
    }
    if (*compiler->at == '%')
        return add(compiler, (struct mp_access_step){MP_ATOM_TEXT, compiler->at++, 1});
    return compile_lettered(compiler);
}

static int compile(struct compiler *compiler)
{
    int r = 0;
    while (r == 0 && *compiler->at) {
        size_t len = strcspn(compiler->at, "%");
        if (len > 0)
            add(compiler, (struct mp_access_step){MP_ATOM_TEXT, compiler->at, len});
        compiler->at += len;
        if (*compiler->at) {
            compiler->at++;
            r = compile_atom(compiler);
        }
    }
    return r;
}

static int check(const struct compiler *compiler, const char *text)
{
    if (!*text)
        return refuse(compiler, "it is empty");
    if (strlen(text) > TEXT_MOST)
        return refuse(compiler, "it is longer than %d bytes", TEXT_MOST);
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' && *text != '\t')
            return refuse(compiler, "it has a control character (0x%02x)", (unsigned char)*text);
    }
    return 0;
}

int mp_access_format_new(const char *text, struct mp_access_format **ret_format,
                         char why[MP_ACCESS_WHY])
{
    struct compiler compiler = {.why = why};
    text = !text || strcmp(text, "combined") == 0 ? combined : text;
    int r = check(&compiler, text);
    if (r < 0)
        return r;
    /* Each step takes a byte of the text at least. */
    struct mp_access_format *format =
        calloc(1, sizeof(*format) + strlen(text) * sizeof(format->steps[0]));
    if (!format)
        return -ENOMEM;
    compiler.format = format;
    format->json = strcmp(text, "json") == 0;
    format->text = compiler.at = strdup(text);
    if (!format->text)
        r = -ENOMEM;
    else if (!format->json)
        r = compile(&compiler);
    if (r < 0)
        mp_access_format_free(format);
    else
        *ret_format = format;
    return r;
}

void mp_access_format_free(struct mp_access_format *format)
{
    if (!format)
        return;
    free(format->text);
    free(format);
}

/* ---- making lines ------------------------------------------------------------------------ */

void mp_access_format_make(const struct mp_access_format *format,
                           const struct mp_access_record *record, struct mp_access_line *line)
{
    line->size = 0;
    line->full = false;
    line->how = format->json ? MP_ESCAPE_JSON : MP_ESCAPE_QUOTED;
    if (format->json)
        mp_access_json_put(line, record);
    for (size_t i = 0; i < format->count && !line->full; i++)
        mp_access_atom_put(line, &format->steps[i], record);
    if (line->full) {
        memcpy(line->text + line->size, cut_mark, sizeof(cut_mark) - 1);
        line->size += sizeof(cut_mark) - 1;
    }
    line->text[line->size++] = '\n';
}
