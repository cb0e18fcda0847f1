/* SPDX-License-Identifier: MIT */
#include "python/options.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/ip.h"
#include "os/clock.h"
#include "server/access_format.h"

enum option_kind {
    OPTION_UNSIGNED, /* unsigned */
    OPTION_FD,       /* int: a descriptor, -1 for none */
    OPTION_LEVEL,    /* enum mp_log_level */
    OPTION_U32,
    OPTION_U64,
    OPTION_SIZE, /* size_t */
    OPTION_TIME, /* int64_t nanoseconds, given in seconds */
    OPTION_BOOL,
    OPTION_TEXT,       /* const char * */
    OPTION_MAYBE_TEXT, /* the same, or None for NULL */
    OPTION_PROTOCOL,
    OPTION_ADMISSION,
    OPTION_ADDRESSES, /* const char *, as of mp_ip_set_init */
    OPTION_FORWARDED, /* unsigned: names of fields, or "off" */
    OPTION_FORMAT,    /* const char *, as of mp_access_format_new */
    OPTION_FORM,      /* enum mp_log_form */
    OPTION_SINK,      /* struct mp_log_sink: (protocol, address, facility, name), or None */
    OPTION_ACCESS,    /* struct mp_socket_access: (mode, user, group), -1 for what stays */
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset; /* in struct mp_master_options */
};

#define MASTER(member) offsetof(struct mp_master_options, member)
#define WORKER(member) offsetof(struct mp_master_options, worker.member)

static const struct option options_table[] = {
    {"workers", OPTION_UNSIGNED, MASTER(workers)},
    {"workers_max", OPTION_UNSIGNED, MASTER(workers_max)},
    {"workers_limit", OPTION_UNSIGNED, MASTER(workers_limit)},
    {"preload", OPTION_BOOL, MASTER(preload)},
    {"graceful_timeout", OPTION_TIME, MASTER(graceful_timeout)},
    {"load_timeout", OPTION_TIME, MASTER(load_timeout)},
    {"heartbeat_timeout", OPTION_TIME, MASTER(heartbeat_timeout)},
    {"log_fd", OPTION_FD, MASTER(log.fd)},
    {"log_level", OPTION_LEVEL, MASTER(log.level)},
    {"control_socket", OPTION_TEXT, MASTER(control_socket)},
    {"title", OPTION_TEXT, MASTER(title)},
    {"socket_access", OPTION_ACCESS, MASTER(socket_access)},
    {"notify_socket", OPTION_TEXT, MASTER(notify_socket)},
    {"notify_watchdog", OPTION_TIME, MASTER(notify_watchdog)},
    {"protocol", OPTION_PROTOCOL, WORKER(protocol)},
    {"admission", OPTION_ADMISSION, WORKER(admission)},
    {"readable_timeout", OPTION_TIME, WORKER(readable_timeout)},
    {"threads", OPTION_UNSIGNED, WORKER(threads)},
    {"threads_min", OPTION_UNSIGNED, WORKER(threads_min)},
    {"threads_idle", OPTION_TIME, WORKER(threads_idle)},
    {"workers_idle", OPTION_TIME, MASTER(workers_idle)},
    {"max_concurrency", OPTION_UNSIGNED, WORKER(max_concurrency)},
    {"max_worker_lifetime", OPTION_TIME, MASTER(max_lifetime)},
    {"max_worker_memory", OPTION_U64, MASTER(max_memory)},
    {"max_requests", OPTION_U64, WORKER(max_requests)},
    {"max_requests_jitter", OPTION_U64, WORKER(max_requests_jitter)},
    {"worker_connections", OPTION_UNSIGNED, WORKER(connections)},
    {"timeout", OPTION_TIME, WORKER(request_timeout)},
    {"queue_timeout", OPTION_TIME, WORKER(queue_timeout)},
    {"health_path", OPTION_MAYBE_TEXT, WORKER(health_path)},
    {"slow_log", OPTION_TIME, WORKER(slow_log)},
    {"stuck_grace", OPTION_TIME, WORKER(stuck_grace)},
    {"hang_timeout", OPTION_TIME, WORKER(hang_timeout)},
    {"header_timeout", OPTION_TIME, WORKER(header_timeout)},
    {"body_timeout", OPTION_TIME, WORKER(body_timeout)},
    {"body_min_rate", OPTION_U64, WORKER(body_rate)},
    {"write_timeout", OPTION_TIME, WORKER(write_timeout)},
    {"write_min_rate", OPTION_U64, WORKER(write_rate)},
    {"connection_timeout", OPTION_TIME, WORKER(connection_timeout)},
    {"keep_alive", OPTION_TIME, WORKER(keep_alive)},
    {"limit_request_line", OPTION_U32, WORKER(limits.line)},
    {"limit_request_fields", OPTION_U32, WORKER(limits.fields)},
    {"limit_request_field_size", OPTION_U32, WORKER(limits.field_size)},
    {"limit_request_head", OPTION_U32, WORKER(limits.head)},
    {"limit_request_body", OPTION_U64, WORKER(body_max)},
    {"limit_request_chunks", OPTION_U32, WORKER(chunks_max)},
    {"limit_pipelined_requests", OPTION_U32, WORKER(pipelined_max)},
    {"limit_keepalive_requests", OPTION_U32, WORKER(keep_alive_max)},
    {"limit_temp_files", OPTION_UNSIGNED, WORKER(temp_files)},
    {"limit_temp_size", OPTION_U64, WORKER(temp_size)},
    {"worker_tmp_dir", OPTION_TEXT, WORKER(tmp_dir)},
    {"log_form", OPTION_FORM, MASTER(log.form)},
    {"log_sink", OPTION_SINK, MASTER(log.sink)},
    {"access_log_sink", OPTION_SINK, WORKER(access_sink)},
    {"log_path", OPTION_MAYBE_TEXT, WORKER(log_path)},
    {"access_log_path", OPTION_MAYBE_TEXT, WORKER(access_path)},
    {"access_log_fd", OPTION_FD, WORKER(access_log)},
    {"access_log_format", OPTION_FORMAT, WORKER(access_format)},
    {"proxy_versions", OPTION_UNSIGNED, WORKER(proxy_versions)},
    {"proxy_allow_ips", OPTION_ADDRESSES, WORKER(proxy_allow)},
    {"forwarded_allow_ips", OPTION_ADDRESSES, WORKER(forwarded_allow)},
    {"forwarded_headers", OPTION_FORWARDED, WORKER(forwarded)},
    {"multiprocess", OPTION_BOOL, WORKER(multiprocess)},
};

static const struct option *find(PyObject *name)
{
    for (size_t i = 0; i < mp_array_size(options_table); i++) {
        if (PyUnicode_CompareWithASCIIString(name, options_table[i].name) == 0)
            return &options_table[i];
    }
    PyErr_Format(PyExc_TypeError, "unknown option %R", name);
    return NULL;
}

/* An integer of min..max. 0, or -1 with an exception. */
static int get_integer(const struct option *option, PyObject *value, long long min,
                       unsigned long long max, unsigned long long *ret)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (overflow || number < min || (number > 0 && (unsigned long long)number > max)) {
        PyErr_Format(PyExc_ValueError, "option %s is out of range: %R", option->name, value);
        return -1;
    }
    *ret = (unsigned long long)number;
    return 0;
}

static int get_time(const struct option *option, PyObject *value, int64_t *ret)
{
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (!(seconds >= 0.0 && seconds <= 1e9)) {
        PyErr_Format(PyExc_ValueError, "option %s is out of range: %R", option->name, value);
        return -1;
    }
    *ret = (int64_t)(seconds * (double)MP_NSEC_PER_SEC);
    return 0;
}

static int get_text(PyObject *value, const char **ret)
{
    const char *text = PyUnicode_AsUTF8(value);
    if (!text)
        return -1;
    *ret = text;
    return 0;
}

/* Always -1. */
static int refuse_word(const struct option *option, PyObject *value, const char *const *words,
                       size_t count)
{
    PyObject *list = PyUnicode_FromString("");
    for (size_t i = 0; list && i < count; i++)
        Py_XSETREF(list, PyUnicode_FromFormat("%U%s'%s'", list, i > 0 ? ", " : "", words[i]));
    if (list)
        PyErr_Format(PyExc_ValueError, "option %s must be one of %U, not %R", option->name, list,
                     value);
    Py_XDECREF(list);
    return -1;
}

/* The index of value among count words. 0, or -1 with an exception. */
static int get_word(const struct option *option, PyObject *value, const char *const *words,
                    size_t count, unsigned *ret)
{
    for (size_t i = 0; i < count && PyUnicode_Check(value); i++) {
        if (PyUnicode_CompareWithASCIIString(value, words[i]) == 0) {
            *ret = (unsigned)i;
            return 0;
        }
    }
    return refuse_word(option, value, words, count);
}

static int get_protocol(const struct option *option, PyObject *value, enum mp_protocol_kind *ret)
{
    static const char *const words[] = {[MP_PROTOCOL_HTTP1] = "http1",
                                        [MP_PROTOCOL_STREAM] = "stream",
                                        [MP_PROTOCOL_DATAGRAM] = "datagram"};
    unsigned number = 0;
    if (get_word(option, value, words, mp_array_size(words), &number) < 0)
        return -1;
    *ret = (enum mp_protocol_kind)number;
    return 0;
}

static int get_admission(const struct option *option, PyObject *value, enum mp_admission *ret)
{
    static const char *const words[] = {
        [MP_ADMISSION_CONNECT] = "connect", [MP_ADMISSION_READABLE] = "readable"};
    unsigned number = 0;
    if (get_word(option, value, words, mp_array_size(words), &number) < 0)
        return -1;
    *ret = (enum mp_admission)number;
    return 0;
}

static void refuse_address(const struct option *option, const char *text, size_t n)
{
    PyObject *word = PyUnicode_DecodeUTF8(text, (Py_ssize_t)n, "replace");
    if (word)
        PyErr_Format(PyExc_ValueError, "option %s: %R is no address and no network", option->name,
                     word);
    Py_XDECREF(word);
}

static int get_addresses(const struct option *option, PyObject *value, const char **ret)
{
    struct mp_ip_set set;
    const char *bad = "";
    size_t size = 0;
    if (get_text(value, ret) < 0)
        return -1;
    int r = mp_ip_set_init(&set, *ret, &bad, &size);
    if (r == 0)
        mp_ip_set_done(&set);
    else if (r == -ENOMEM)
        PyErr_NoMemory();
    else
        refuse_address(option, bad, size);
    return r == 0 ? 0 : -1;
}

/* The words are in the order of MP_HTTP_FORWARDED_*. */
static int get_forwarded(const struct option *option, PyObject *value, unsigned *ret)
{
    static const char *const words[] = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host",
                                        "x-forwarded-prefix", "forwarded"};
    unsigned fields = 0;
    unsigned number = 0;
    if (PyUnicode_Check(value) && PyUnicode_CompareWithASCIIString(value, "off") == 0) {
        *ret = MP_FORWARDED_OFF;
        return 0;
    }
    PyObject *list = PySequence_Fast(value, "option forwarded_headers must be a list, or 'off'");
    if (!list)
        return -1;
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *word = PySequence_Fast_GET_ITEM(list, i);
        rc = get_word(option, word, words, mp_array_size(words), &number);
        fields |= 1u << number;
    }
    Py_DECREF(list);
    if (rc == 0)
        *ret = fields;
    return rc;
}

static int get_format(const struct option *option, PyObject *value, const char **ret)
{
    struct mp_access_format *format;
    char why[MP_ACCESS_WHY];
    if (get_text(value, ret) < 0)
        return -1;
    int r = mp_access_format_new(*ret, &format, why);
    if (r == 0)
        mp_access_format_free(format);
    else if (r == -ENOMEM)
        PyErr_NoMemory();
    else
        PyErr_Format(PyExc_ValueError, "option %s: %s", option->name, why);
    return r == 0 ? 0 : -1;
}

static int get_access(const struct option *option, PyObject *value, struct mp_socket_access *ret)
{
    long mode;
    long user;
    long group;
    if (!PyTuple_Check(value)) {
        PyErr_Format(PyExc_TypeError, "option %s must be a tuple", option->name);
        return -1;
    }
    if (!PyArg_ParseTuple(value, "lll", &mode, &user, &group))
        return -1;
    *ret = (struct mp_socket_access){.mode_set = mode >= 0,
                                     .mode = (mode_t)mode & 0777,
                                     .owner_set = user >= 0 || group >= 0,
                                     .user = (uid_t)user,
                                     .group = (gid_t)group};
    return 0;
}

static int get_form(const struct option *option, PyObject *value, enum mp_log_form *ret)
{
    static const char *const words[] = {[MP_LOG_TEXT] = "text", [MP_LOG_JSON] = "json"};
    unsigned number = 0;
    if (get_word(option, value, words, mp_array_size(words), &number) < 0)
        return -1;
    *ret = (enum mp_log_form)number;
    return 0;
}

/* None: a file. What counts its losses stays. */
static int get_sink(const struct option *option, PyObject *value, struct mp_log_sink *sink)
{
    static const char *const words[] = {
        [MP_LOG_FILE] = "file", [MP_LOG_SYSLOG] = "syslog", [MP_LOG_JOURNALD] = "journald"};
    const char *why = NULL;
    const char *address;
    unsigned number = 0;
    PyObject *protocol;
    int fd = -1;
    if (value == Py_None)
        return 0;
    if (!PyArg_ParseTuple(value, "OsIs:sink", &protocol, &address, &sink->facility, &sink->name) ||
        get_word(option, protocol, words, mp_array_size(words), &number) < 0)
        return -1;
    if (mp_sockaddr_parse(address, &sink->addr, &fd, &why) < 0 || fd >= 0) {
        PyErr_Format(PyExc_ValueError, "option %s: %s is no address", option->name, address);
        return -1;
    }
    sink->protocol = (enum mp_log_protocol)number;
    return 0;
}

static int set_number(const struct option *option, void *place, PyObject *value)
{
    unsigned long long number;

    switch (option->kind) {
    case OPTION_FD:
        if (get_integer(option, value, -1, INT_MAX, &number) < 0)
            return -1;
        *(int *)place = (int)number;
        return 0;
    case OPTION_LEVEL:
        if (get_integer(option, value, 0, MP_LOG_CRITICAL, &number) < 0)
            return -1;
        *(enum mp_log_level *)place = (enum mp_log_level)number;
        return 0;
    case OPTION_UNSIGNED:
        if (get_integer(option, value, 0, UINT_MAX, &number) < 0)
            return -1;
        *(unsigned *)place = (unsigned)number;
        return 0;
    case OPTION_U32:
        if (get_integer(option, value, 0, UINT32_MAX, &number) < 0)
            return -1;
        *(uint32_t *)place = (uint32_t)number;
        return 0;
    case OPTION_U64:
        if (get_integer(option, value, 0, INT64_MAX, &number) < 0)
            return -1;
        *(uint64_t *)place = (uint64_t)number;
        return 0;
    case OPTION_SIZE:
        if (get_integer(option, value, 0, PY_SSIZE_T_MAX, &number) < 0)
            return -1;
        *(size_t *)place = (size_t)number;
        return 0;
    default:
        break;
    }
    return 0;
}

static int set(const struct option *option, void *place, PyObject *value)
{
    int truth;

    switch (option->kind) {
    case OPTION_TIME:
        return get_time(option, value, place);
    case OPTION_MAYBE_TEXT:
        if (value == Py_None) {
            *(const char **)place = NULL;
            return 0;
        }
        return get_text(value, place);
    case OPTION_TEXT:
        return get_text(value, place);
    case OPTION_PROTOCOL:
        return get_protocol(option, value, place);
    case OPTION_ADMISSION:
        return get_admission(option, value, place);
    case OPTION_ADDRESSES:
        return get_addresses(option, value, place);
    case OPTION_FORM:
        return get_form(option, value, place);
    case OPTION_SINK:
        return get_sink(option, value, place);
    case OPTION_ACCESS:
        return get_access(option, value, place);
    case OPTION_FORWARDED:
        return get_forwarded(option, value, place);
    case OPTION_FORMAT:
        return get_format(option, value, place);
    case OPTION_BOOL:
        truth = PyObject_IsTrue(value);
        *(bool *)place = truth > 0;
        return truth < 0 ? -1 : 0;
    default:
        return set_number(option, place, value);
    }
}

int mp_py_options_set(struct mp_master_options *options, PyObject *dict)
{
    PyObject *name;
    PyObject *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(dict, &at, &name, &value)) {
        const struct option *option = find(name);
        if (!option || set(option, (char *)options + option->offset, value) < 0)
            return -1;
    }
    return 0;
}
