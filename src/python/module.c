/* SPDX-License-Identifier: MIT */
/*
 * The module millpond._core. Multi-phase initialisation; all state belongs to the module object, so
 * that it may be imported, and dropped, in any interpreter.
 *
 * Under 3.12 it declares that it works with a GIL of each interpreter's own. Under 3.13 it does not
 * declare that it works without any: objects are recycled when their reference count says that
 * nobody else has them, which is only true under a GIL.
 */
#include "python/state.h"

#include "mp_version.h"
#include "python/errors.h"
#include "python/file_wrapper.h"
#include "python/functions.h"
#include "python/inotify.h"
#include "python/input.h"
#include "python/master.h"
#include "python/scoreboard.h"
#include "python/start_response.h"
#include "python/traceback.h"

static struct PyModuleDef module_def;

struct mp_py_state *mp_py_state_of(PyTypeObject *type)
{
    PyObject *module = PyType_GetModuleByDef(type, &module_def);
    return module ? PyModule_GetState(module) : NULL;
}

int mp_py_optional_attr(PyObject *obj, PyObject *name, PyObject **ret)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyObject_GetOptionalAttr(obj, name, ret);
#else
    *ret = PyObject_GetAttr(obj, name);
    if (*ret)
        return 1;
    if (!PyErr_ExceptionMatches(PyExc_AttributeError))
        return -1;
    PyErr_Clear();
    return 0;
#endif
}

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **slot)
{
    *slot = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *slot ? PyModule_AddType(module, *slot) : -1;
}

static int add_types(PyObject *module, struct mp_py_state *state)
{
    const struct {
        PyType_Spec *spec;
        PyTypeObject **slot;
    } types[] = {
        {&mp_py_master_spec, &state->master_type},
        {&mp_py_scoreboard_spec, &state->scoreboard_type},
        {&mp_py_inotify_spec, &state->inotify_type},
        {&mp_py_input_spec, &state->input_type},
        {&mp_py_errors_spec, &state->errors_type},
        {&mp_py_start_response_spec, &state->start_response_type},
        {&mp_py_write_spec, &state->write_type},
        {&mp_py_extend_deadline_spec, &state->extend_deadline_type},
        {&mp_py_file_wrapper_spec, &state->file_wrapper_type},
    };
    for (size_t i = 0; i < mp_array_size(types); i++) {
        if (add_type(module, types[i].spec, types[i].slot) < 0)
            return -1;
    }
    return 0;
}

/* New reference to module.name, or NULL with an exception. */
static PyObject *import_from(const char *module, const char *name)
{
    PyObject *imported = PyImport_ImportModule(module);
    if (!imported)
        return NULL;
    PyObject *found = PyObject_GetAttrString(imported, name);
    Py_DECREF(imported);
    return found;
}

static int import_type(const char *name, PyTypeObject **slot)
{
    PyObject *found = import_from("io", name);
    if (!found)
        return -1;
    if (!PyType_Check(found)) {
        Py_DECREF(found);
        PyErr_Format(PyExc_TypeError, "io.%s is not a type", name);
        return -1;
    }
    *slot = (PyTypeObject *)found;
    return 0;
}

static int add_imports(struct mp_py_state *state)
{
    if (import_type("FileIO", &state->file_io_type) < 0 ||
        import_type("BufferedReader", &state->buffered_reader_type) < 0 ||
        import_type("BufferedRandom", &state->buffered_random_type) < 0)
        return -1;
    state->format_exception = import_from("traceback", "format_exception");
    state->current_thread = import_from("threading", "current_thread");
    state->set_wakeup_fd = import_from("signal", "set_wakeup_fd");
    state->getline = import_from("linecache", "getline");
    return state->format_exception && state->current_thread && state->set_wakeup_fd &&
                   state->getline
               ? 0
               : -1;
}

static int intern(const char *text, PyObject **slot)
{
    *slot = PyUnicode_InternFromString(text);
    return *slot ? 0 : -1;
}

static int add_strings(struct mp_py_state *state)
{
    static const char *const keys[] = {
#define KEY_TEXT(id, text) text,
        MP_PY_KEYS(KEY_TEXT)
#undef KEY_TEXT
    };
    static const char *const names[] = {
#define NAME_TEXT(id, text) text,
        MP_PY_NAMES(NAME_TEXT)
#undef NAME_TEXT
    };
    static const char *const methods[MP_PY_METHOD_COUNT] = {
        [MP_HTTP_GET] = "GET",         [MP_HTTP_HEAD] = "HEAD",     [MP_HTTP_POST] = "POST",
        [MP_HTTP_PUT] = "PUT",         [MP_HTTP_DELETE] = "DELETE", [MP_HTTP_CONNECT] = "CONNECT",
        [MP_HTTP_OPTIONS] = "OPTIONS", [MP_HTTP_TRACE] = "TRACE",   [MP_HTTP_PATCH] = "PATCH",
    };
    for (size_t i = 0; i < MP_PY_KEY_COUNT; i++) {
        if (intern(keys[i], &state->keys[i]) < 0)
            return -1;
    }
    for (size_t i = 0; i < MP_PY_NAME_COUNT; i++) {
        if (intern(names[i], &state->names[i]) < 0)
            return -1;
    }
    for (size_t i = MP_HTTP_OTHER + 1; i < MP_PY_METHOD_COUNT; i++) {
        if (intern(methods[i], &state->methods[i]) < 0)
            return -1;
    }
    for (size_t i = MP_HTTP_NAME_OTHER + 1; i < MP_HTTP_NAME_COUNT; i++) {
        if (intern(mp_http_known_cgi((enum mp_http_known)i), &state->known[i]) < 0)
            return -1;
    }
    if (intern("HTTP/1.0", &state->protocols[0]) < 0 ||
        intern("HTTP/1.1", &state->protocols[1]) < 0)
        return -1;
    return intern("", &state->empty);
}

static int module_exec(PyObject *module)
{
    struct mp_py_state *state = PyModule_GetState(module);
    if (add_strings(state) < 0 || add_imports(state) < 0 || add_types(module, state) < 0 ||
        mp_py_traceback_add(module, state) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "__version__", MP_VERSION);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct mp_py_state *state = PyModule_GetState(module);
    Py_VISIT(state->master_type);
    Py_VISIT(state->scoreboard_type);
    Py_VISIT(state->inotify_type);
    Py_VISIT(state->input_type);
    Py_VISIT(state->errors_type);
    Py_VISIT(state->start_response_type);
    Py_VISIT(state->write_type);
    Py_VISIT(state->extend_deadline_type);
    Py_VISIT(state->file_wrapper_type);
    Py_VISIT(state->file_io_type);
    Py_VISIT(state->buffered_reader_type);
    Py_VISIT(state->buffered_random_type);
    Py_VISIT(state->format_exception);
    Py_VISIT(state->current_thread);
    Py_VISIT(state->set_wakeup_fd);
    Py_VISIT(state->getline);
    Py_VISIT(state->request_timeout);
    Py_VISIT(state->package);
    return 0;
}

static int module_clear(PyObject *module)
{
    struct mp_py_state *state = PyModule_GetState(module);
    Py_CLEAR(state->master_type);
    Py_CLEAR(state->scoreboard_type);
    Py_CLEAR(state->inotify_type);
    Py_CLEAR(state->input_type);
    Py_CLEAR(state->errors_type);
    Py_CLEAR(state->start_response_type);
    Py_CLEAR(state->write_type);
    Py_CLEAR(state->extend_deadline_type);
    Py_CLEAR(state->file_wrapper_type);
    Py_CLEAR(state->file_io_type);
    Py_CLEAR(state->buffered_reader_type);
    Py_CLEAR(state->buffered_random_type);
    Py_CLEAR(state->format_exception);
    Py_CLEAR(state->current_thread);
    Py_CLEAR(state->set_wakeup_fd);
    Py_CLEAR(state->getline);
    Py_CLEAR(state->request_timeout);
    Py_CLEAR(state->package);
    for (size_t i = 0; i < MP_PY_KEY_COUNT; i++)
        Py_CLEAR(state->keys[i]);
    for (size_t i = 0; i < MP_PY_NAME_COUNT; i++)
        Py_CLEAR(state->names[i]);
    for (size_t i = 0; i < MP_PY_METHOD_COUNT; i++)
        Py_CLEAR(state->methods[i]);
    for (size_t i = 0; i < MP_HTTP_NAME_COUNT; i++)
        Py_CLEAR(state->known[i]);
    Py_CLEAR(state->protocols[0]);
    Py_CLEAR(state->protocols[1]);
    Py_CLEAR(state->empty);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "millpond._core",
    .m_doc = PyDoc_STR("The server: master, workers and gateways to applications, in C."),
    .m_size = sizeof(struct mp_py_state),
    .m_methods = mp_py_functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC PyInit__core(void);

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
