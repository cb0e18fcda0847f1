/* SPDX-License-Identifier: MIT */
/*
 * With the interpreter: the frames are noted in C while the handler is held, and turned into text,
 * with lines of source, when it may go on. Without it: poke.c.
 */
#include "python/traceback.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "python/gateway.h"
#include "python/text.h"

enum {
    FRAMES_MOST = 48,  /* innermost ones of a stack */
    STACKS_MOST = 64,  /* of threads of the application */
    ENTRY_SIZE = 640,  /* bytes of a frame's text */
    SOURCE_SIZE = 160, /* bytes of a line of source */
};

struct frame {
    PyObject *code;
    int line;
    unsigned again; /* the same, so many more times in a row: recursion */
};

struct stack {
    unsigned long ident; /* 0: of a handler, which has a heading already */
    unsigned count;      /* innermost first */
    unsigned outer;      /* frames that are left out */
    struct frame frames[FRAMES_MOST];
};

struct capture {
    struct mp_py_state *state;
    size_t count;
    struct stack stacks[];
};

/* ---- text -------------------------------------------------------------------------------- */

/* str as UTF-8; "?" when that cannot be. Borrowed. */
static const char *utf8_of(PyObject *str)
{
    const char *text = str && PyUnicode_Check(str) ? PyUnicode_AsUTF8(str) : NULL;
    if (!text)
        PyErr_Clear();
    return text ? text : "?";
}

/* The line of source, without the blanks around it; empty when there is none. May read the file. */
static void get_source(struct mp_py_state *state, PyObject *filename, int line,
                       char source[SOURCE_SIZE])
{
    source[0] = '\0';
    PyObject *found = PyObject_CallFunction(state->getline, "Oi", filename, line);
    if (found) {
        const char *text = utf8_of(found);
        text += strspn(text, " \t\f");
        size_t n = strcspn(text, "\r\n");
        if (n >= SOURCE_SIZE)
            n = SOURCE_SIZE - 1;
        while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--; /* not in the middle of a character */
        memcpy(source, text, n);
        source[n] = '\0';
        Py_DECREF(found);
    }
    PyErr_Clear();
}

/* "\n    File "a.py", line 3, in f\n        source". Returns its length. */
static size_t format_frame(struct mp_py_state *state, const struct frame *frame,
                           char entry[ENTRY_SIZE])
{
    static const char begin[] = "\n    ";
    static const char indent[] = "\n        ";
    const PyCodeObject *code = (const PyCodeObject *)frame->code;
    char source[SOURCE_SIZE] = "";
    get_source(state, code->co_filename, frame->line, source);
    char again[32] = "";
    if (frame->again > 0)
        snprintf(again, sizeof(again), " (%u more times)", frame->again);
    int n = snprintf(entry, ENTRY_SIZE - SOURCE_SIZE - sizeof(indent),
                     "\n    File \"%.280s\", line %d, in %.100s%s", utf8_of(code->co_filename),
                     frame->line, utf8_of(code->co_name), again);
    size_t len = (size_t)n;
    if (n < (int)sizeof(begin))
        return 0; /* snprintf has failed */
    if (len >= ENTRY_SIZE - SOURCE_SIZE - sizeof(indent))
        len = ENTRY_SIZE - SOURCE_SIZE - sizeof(indent) - 1;
    mp_py_text_plain(entry + sizeof(begin) - 1, len - (sizeof(begin) - 1));
    size_t source_len = strlen(source);
    if (source_len > 0) {
        mp_py_text_plain(source, source_len);
        memcpy(entry + len, indent, sizeof(indent) - 1);
        memcpy(entry + len + sizeof(indent) - 1, source, source_len);
        len += sizeof(indent) - 1 + source_len;
    }
    return len;
}

/* ---- frames ------------------------------------------------------------------------------ */

static bool is_ours(const struct mp_py_state *state, PyObject *code)
{
    PyObject *filename = ((PyCodeObject *)code)->co_filename;
    Py_ssize_t n = state->package ? PyUnicode_GET_LENGTH(state->package) : 0;
    return n > 0 && PyUnicode_Tailmatch(filename, state->package, 0, n, -1) > 0;
}

/* Takes the code's reference. */
static void note_frame(const struct mp_py_state *state, struct stack *stack, PyObject *code,
                       int line)
{
    struct frame *last = stack->count > 0 ? &stack->frames[stack->count - 1] : NULL;
    if (is_ours(state, code)) {
        Py_DECREF(code);
    } else if (last && last->code == code && last->line == line) {
        Py_DECREF(code);
        last->again++;
    } else if (stack->count < FRAMES_MOST) {
        stack->frames[stack->count++] = (struct frame){.code = code, .line = line};
    } else {
        Py_DECREF(code);
        stack->outer++;
    }
}

/* Takes the frame's reference. */
static void note_frames(const struct mp_py_state *state, struct stack *stack, PyFrameObject *frame)
{
    while (frame) {
        PyObject *code = (PyObject *)PyFrame_GetCode(frame);
        note_frame(state, stack, code, PyFrame_GetLineNumber(frame));
        PyFrameObject *back = PyFrame_GetBack(frame);
        Py_DECREF(frame);
        frame = back;
    }
    PyErr_Clear();
}

static struct capture *new_capture(struct mp_py_state *state, size_t stacks)
{
    struct capture *capture = calloc(1, sizeof(*capture) + stacks * sizeof(capture->stacks[0]));
    if (capture)
        capture->state = state;
    return capture;
}

static void free_capture(struct capture *capture)
{
    for (size_t i = 0; i < capture->count; i++) {
        for (unsigned k = 0; k < capture->stacks[i].count; k++)
            Py_DECREF(capture->stacks[i].frames[k].code);
    }
    free(capture);
}

/* Of a thread that stands still. Objects for its frames are made: no garbage may be collected
 * meanwhile, which can run anything and let the thread go on. */
static struct capture *capture_thread(struct mp_py_state *state, PyThreadState *tstate)
{
    struct capture *capture = new_capture(state, 1);
    if (!capture)
        return NULL;
    int collecting = PyGC_Disable();
    capture->count = 1;
    note_frames(state, &capture->stacks[0], PyThreadState_GetFrame(tstate));
    if (collecting)
        PyGC_Enable();
    return capture;
}

/* Whether the server has this thread, or the inspector is it: their names tell. */
static bool is_servers(PyObject *names, PyObject *ident)
{
    PyObject *name = names ? PyDict_GetItemWithError(names, ident) : NULL;
    static const char prefix[] = "millpond-";
    return name && strncmp(utf8_of(name), prefix, sizeof(prefix) - 1) == 0;
}

/* {ident: name} of the threads that module threading knows; NULL (no exception) when it fails. */
static PyObject *thread_names(void)
{
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *list = threading ? PyObject_CallMethod(threading, "enumerate", NULL) : NULL;
    PyObject *names = list ? PyDict_New() : NULL;
    for (Py_ssize_t i = 0; names && i < PyList_GET_SIZE(list); i++) {
        PyObject *thread = PyList_GET_ITEM(list, i);
        PyObject *ident = PyObject_GetAttrString(thread, "ident");
        PyObject *name = ident ? PyObject_GetAttrString(thread, "name") : NULL;
        if (!name || PyDict_SetItem(names, ident, name) < 0)
            PyErr_Clear();
        Py_XDECREF(ident);
        Py_XDECREF(name);
    }
    PyErr_Clear();
    Py_XDECREF(list);
    Py_XDECREF(threading);
    return names;
}

static void note_others(struct capture *capture, PyObject *frames, PyObject *names,
                        unsigned long control)
{
    PyObject *ident;
    PyObject *frame;
    Py_ssize_t at = 0;
    while (capture->count < STACKS_MOST && PyDict_Next(frames, &at, &ident, &frame)) {
        if (is_servers(names, ident) || PyLong_AsUnsignedLongMask(ident) == control)
            continue;
        struct stack *stack = &capture->stacks[capture->count++];
        stack->ident = PyLong_AsUnsignedLongMask(ident);
        note_frames(capture->state, stack, (PyFrameObject *)Py_NewRef(frame));
    }
}

/* All threads that are not the pool's. */
static struct capture *capture_others(const struct mp_py_gateway *gateway)
{
    struct mp_py_state *state = gateway->state;
    unsigned long control = gateway->control ? gateway->control->thread_id : 0;
    struct capture *capture = new_capture(state, STACKS_MOST);
    PyObject *current_frames = PySys_GetObject("_current_frames");
    PyObject *names = thread_names();
    PyObject *frames = current_frames ? PyObject_CallNoArgs(current_frames) : NULL;
    if (capture && frames && PyDict_Check(frames))
        note_others(capture, frames, names, control);
    PyErr_Clear();
    Py_XDECREF(frames);
    Py_XDECREF(names);
    return capture;
}

static void *capture(void *data, void *inspector MP_UNUSED, void *thread)
{
    struct mp_py_gateway *gateway = data;
    if (!thread)
        return capture_others(gateway);
    return capture_thread(gateway->state, gateway->traceback.state_of(thread));
}

/* The innermost frames that fit, outermost first. */
static void describe_stack(struct mp_py_state *state, const struct stack *stack,
                           struct mp_py_text *text)
{
    char(*entries)[ENTRY_SIZE] = calloc(FRAMES_MOST, sizeof(*entries));
    size_t lengths[FRAMES_MOST];
    char left_out[80];
    unsigned shown = 0;
    size_t used = text->len + sizeof(left_out);
    for (; entries && shown < stack->count; shown++) {
        lengths[shown] = format_frame(state, &stack->frames[shown], entries[shown]);
        used += lengths[shown];
        if (used >= text->size)
            break;
    }
    unsigned outer = stack->outer + stack->count - shown;
    if (outer > 0) {
        int n = snprintf(left_out, sizeof(left_out), "\n    (%u outer frame%s left out)", outer,
                         outer > 1 ? "s" : "");
        mp_py_text_append(text, left_out, (size_t)n);
    }
    while (shown-- > 0)
        mp_py_text_append(text, entries[shown], lengths[shown]);
    free(entries);
}

static void describe_heading(const struct stack *stack, struct mp_py_text *text)
{
    char heading[160];
    PyObject *names = thread_names();
    PyObject *ident = PyLong_FromUnsignedLong(stack->ident);
    PyObject *name = names && ident ? PyDict_GetItemWithError(names, ident) : NULL;
    int n = snprintf(heading, sizeof(heading),
                     "\n    thread %.100s:", name ? utf8_of(name) : "that Python has no name for");
    mp_py_text_plain(heading + 1, (size_t)n - 1);
    mp_py_text_append(text, heading, (size_t)n);
    PyErr_Clear();
    Py_XDECREF(ident);
    Py_XDECREF(names);
}

static size_t describe(void *data MP_UNUSED, void *captured, char *bytes, size_t size)
{
    struct capture *capture = captured;
    struct mp_py_text text = {.bytes = bytes, .size = size};
    bytes[0] = '\0';
    for (size_t i = 0; i < capture->count; i++) {
        if (capture->stacks[i].ident != 0)
            describe_heading(&capture->stacks[i], &text);
        describe_stack(capture->state, &capture->stacks[i], &text);
    }
    free_capture(capture);
    return text.len;
}

/* ---- the inspector ----------------------------------------------------------------------- */

static int init(void *data, void **ret_inspector)
{
    struct mp_py_gateway *gateway = data;
    PyThreadState *tstate = PyThreadState_New(gateway->interpreter);
    if (!tstate)
        return -ENOMEM;
    *ret_inspector = tstate;
    return 0;
}

static void done(void *data MP_UNUSED, void *inspector)
{
    PyEval_RestoreThread(inspector);
    mp_py_gateway_detach(inspector);
}

static void enter(void *data MP_UNUSED, void *inspector)
{
    PyEval_RestoreThread(inspector);
}

static void leave(void *data MP_UNUSED, void *inspector MP_UNUSED)
{
    PyErr_Clear();
    PyEval_SaveThread();
}

/* Setting it drops a class at most, and runs nothing. */
static int raise_timeout(void *data, void *thread)
{
    struct mp_py_gateway *gateway = data;
    unsigned long ident = gateway->traceback.state_of(thread)->thread_id;
    return PyThreadState_SetAsyncExc(ident, gateway->state->request_timeout) == 1 ? 0 : -ESRCH;
}

static void calm(void *data, void *thread)
{
    struct mp_py_gateway *gateway = data;
    PyThreadState_SetAsyncExc(gateway->traceback.state_of(thread)->thread_id, NULL);
}

/* ---- the module -------------------------------------------------------------------------- */

PyDoc_STRVAR(
    timeout_doc,
    "Raised in a handler that has exceeded its deadline, after its client was answered.\n\n"
    "It derives from BaseException, as KeyboardInterrupt does: an `except Exception` around\n"
    "one step of the work shall not make the handler go on.");

/* The folder that the module lies in, "/a/b/millpond/". */
static PyObject *folder_of(PyObject *module)
{
    PyObject *file = PyModule_GetFilenameObject(module);
    if (!file) {
        PyErr_Clear();
        return PyUnicode_FromString("");
    }
    Py_ssize_t n = PyUnicode_GET_LENGTH(file);
    Py_ssize_t slash = PyUnicode_FindChar(file, '/', 0, n, -1);
    PyObject *folder = PyUnicode_Substring(file, 0, slash + 1);
    Py_DECREF(file);
    return folder;
}

int mp_py_traceback_add(PyObject *module, struct mp_py_state *state)
{
    state->package = folder_of(module);
    if (!state->package)
        return -1;
    state->request_timeout = PyErr_NewExceptionWithDoc("millpond.RequestTimeout", timeout_doc,
                                                       PyExc_BaseException, NULL);
    return state->request_timeout
               ? PyModule_AddObjectRef(module, "RequestTimeout", state->request_timeout)
               : -1;
}

const struct mp_inspection mp_py_inspection = {
    .init = init,
    .done = done,
    .enter = enter,
    .leave = leave,
    .capture = capture,
    .describe = describe,
    .raise = raise_timeout,
    .calm = calm,
    .poke = mp_py_poke,
    .poked = mp_py_poked,
};
