/* SPDX-License-Identifier: MIT */
/* See stuck_report.h. A record says first what is needed to find the request: worker, thread,
 * request. */
#include "server/stuck_report.h"

#include <stdio.h>
#include <unistd.h>

#include "os/clock.h"
#include "server/inspector.h"
#include "server/internal.h"

static double in_seconds(int64_t ns)
{
    return (double)ns / (double)MP_NSEC_PER_SEC;
}

/* What is said between the subject and the frames. */
static const char *lead_in(const struct mp_stuck_case *found, const struct mp_answer *answer)
{
    if (answer->over)
        return "; it has ended since";
    if (answer->held)
        return answer->len > 0 ? ", the interpreter is held; it says itself that it is in:"
                               : ", the interpreter is held, and it does not say where it is";
    if (answer->len == 0)
        return "";
    return found->computing ? ", computing in:" : ", waiting in:";
}

void mp_stuck_report_slow(const struct mp_server *server, const struct mp_stuck_case *found,
                          const struct mp_thread *thread, const struct mp_answer *answer,
                          int64_t now)
{
    mp_log(server->log, MP_LOG_WARNING, "worker %u (pid %d) thread %u: %s has run for %.1f s%s%.*s",
           server->context->slot + 1, (int)getpid(), thread->index + 1, found->text,
           in_seconds(now - found->started), lead_in(found, answer), (int)answer->len,
           answer->len > 0 ? answer->text : "");
}

/* "30 s: client answered 504, thread replaced (64 of 64 usable)" */
static void describe_consequences(const struct mp_server *server, const struct mp_stuck_case *found,
                                  char *text, size_t size)
{
    const struct mp_worker_options *options = server->options;
    char limit[32];
    char of_all[32] = "";
    snprintf(limit, sizeof(limit), "%.3g s", in_seconds(options->request_timeout));
    if (options->threads_min == 0 || options->threads_min >= options->threads)
        snprintf(of_all, sizeof(of_all), " of %u", options->threads);
    snprintf(text, size, "%s: %s, thread %s (%u%s usable)",
             found->extended ? "its extended deadline" : limit, found->done,
             found->replaced ? "replaced" : "lost", found->usable, of_all);
}

/* answer NULL: nobody was asked. */
void mp_stuck_report_stuck(const struct mp_server *server, const struct mp_stuck_case *found,
                           const struct mp_thread *thread, const struct mp_answer *answer)
{
    char consequences[160];
    describe_consequences(server, found, consequences, sizeof(consequences));
    mp_log(server->log, MP_LOG_ERROR, "worker %u (pid %d) thread %u: %s exceeded %s%s%.*s",
           server->context->slot + 1, (int)getpid(), thread->index + 1, found->text, consequences,
           answer ? lead_in(found, answer) : "; there are too many to show where each is",
           answer ? (int)answer->len : 0, answer && answer->len > 0 ? answer->text : "");
}

void mp_stuck_report_lost(const struct mp_server *server, const struct mp_stuck_case *found,
                          const struct mp_thread *thread, int64_t now)
{
    mp_log(
        server->log, MP_LOG_ERROR,
        "worker %u (pid %d) thread %u: %s goes on, %.1f s after its deadline: the worker will be "
        "replaced",
        server->context->slot + 1, (int)getpid(), thread->index + 1, found->text,
        in_seconds(now - found->since));
}

void mp_stuck_report_back(const struct mp_server *server, const struct mp_stuck_case *found,
                          const struct mp_thread *thread, int64_t now)
{
    mp_log(server->log, MP_LOG_INFO, "worker %u thread %u: %s has ended after %.1f s",
           server->context->slot + 1, thread->index + 1, found->text,
           in_seconds(now - found->started));
}

void mp_stuck_report_hang(const struct mp_server *server, const struct mp_thread *thread,
                          const struct mp_answer *answer, int64_t since, int64_t now)
{
    mp_log(server->log, MP_LOG_ERROR,
           "worker %u (pid %d) hangs: the interpreter has not been given back for %.1f s; most "
           "likely by thread %u%s%.*s",
           server->context->slot + 1, (int)getpid(), in_seconds(now - since), thread->index + 1,
           answer->len > 0 ? ", in:" : "", (int)answer->len, answer->len > 0 ? answer->text : "");
}
