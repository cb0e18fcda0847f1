/* SPDX-License-Identifier: MIT */
/*
 * What a process holds, counted before and after a test: descriptors (a deleted memfd or temporary
 * file counts as one), threads, shared mappings, names in /dev/shm, and child processes. The test's
 * process is a subreaper, so a grandchild whose parent has gone becomes its child and is seen too.
 *
 * A joined thread leaves /proc/self/task a little after pthread_join() returns, and another program
 * may hold a name in /dev/shm for a moment: both are looked at again for up to a second.
 */
#include "runner_private.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_MS = 10,
    RETRIES = 100,
    SANE_CHILDREN = 4096,
};

int mp_test_is_debugged(void)
{
    char line[256];
    int tracer = 0;
    FILE *status = fopen("/proc/self/status", "re");

    if (!status)
        return 0;
    while (fgets(line, sizeof(line), status)) {
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    }
    fclose(status);
    return tracer != 0;
}

static void nap(void)
{
    struct timespec time = {0, RETRY_MS * 1000000L};

    nanosleep(&time, NULL);
}

/* Entries of a directory whose names begin with `prefix`; the listing's own descriptor is counted
 * each time, so that differences come out right. */
static int count_entries(const char *path, const char *prefix)
{
    int count = 0;
    struct dirent *entry;
    DIR *directory = opendir(path);

    if (!directory)
        return 0;
    while ((entry = readdir(directory)))
        count += entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    closedir(directory);
    return count;
}

/* Names of shared memory; those of the runner's own tests only where this program has made them, as
 * it runs beside others. */
static int count_shm_names(void)
{
    char own[64];
    int all = count_entries("/dev/shm", "millpond");
    int of_tests = count_entries("/dev/shm", MP_TEST_SHM_PREFIX);

    snprintf(own, sizeof(own), MP_TEST_SHM_PREFIX "%d", (int)getppid());
    return all - of_tests + count_entries("/dev/shm", own);
}

static int count_shared_mappings(void)
{
    char line[4352];
    char permissions[5];
    int count = 0;
    FILE *maps = fopen("/proc/self/maps", "re");

    if (!maps)
        return 0;
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%*s %4s", permissions) == 1 && permissions[3] == 's')
            count++;
    }
    fclose(maps);
    return count;
}

void mp_test_census_take(struct mp_test_census *census)
{
    census->shared_mappings = count_shared_mappings();
    census->fds = count_entries("/proc/self/fd", "");
    census->threads = count_entries("/proc/self/task", "");
    census->shm_names = count_shm_names();
}

static void print_open_fds(void)
{
    char path[64];
    char target[256];

    for (int fd = 3; fd < 1024; fd++) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        fprintf(stderr, "        %d -> %s\n", fd, target);
    }
}

static int compare(const char *what, int before, int after)
{
    if (after == before)
        return 0;
    fprintf(stderr, "      %s: %d before the test, %d after it\n", what, before, after);
    return 1;
}

static int left_children(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);

    if (pid < 0 && errno == ECHILD)
        return 0;
    if (pid > 0)
        fprintf(stderr, "      child process %d ended and was not waited for\n", (int)pid);
    else
        fprintf(stderr, "      a child process is still running\n");
    return 1;
}

int mp_test_census_compare(const struct mp_test_census *before)
{
    struct mp_test_census after;
    int leaks;

    mp_test_census_take(&after);
    for (int i = 0; i < RETRIES; i++) {
        if (after.threads <= before->threads && after.shm_names <= before->shm_names)
            break;
        nap();
        mp_test_census_take(&after);
    }
    leaks = left_children();
    if (compare("open descriptors", before->fds, after.fds)) {
        print_open_fds();
        leaks++;
    }
    leaks += compare("threads", before->threads, after.threads);
    leaks += compare("shared mappings", before->shared_mappings, after.shared_mappings);
    if (after.shm_names > before->shm_names)
        leaks += compare("names in /dev/shm", before->shm_names, after.shm_names);
    return leaks;
}

/* The parent of a process, from /proc/<pid>/stat: the name in brackets may hold anything. */
static pid_t parent_of(const char *pid_text)
{
    char path[64];
    char stat[512];
    const char *after_name;
    int parent = -1;
    size_t n;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%.16s/stat", pid_text);
    file = fopen(path, "re");
    if (!file)
        return -1;
    n = fread(stat, 1, sizeof(stat) - 1, file);
    fclose(file);
    stat[n] = '\0';
    after_name = strrchr(stat, ')');
    if (!after_name || sscanf(after_name, ") %*c %d", &parent) != 1)
        return -1;
    return (pid_t)parent;
}

static void kill_children(void)
{
    struct dirent *entry;
    DIR *proc = opendir("/proc");

    if (!proc)
        return;
    while ((entry = readdir(proc))) {
        if (isdigit((unsigned char)entry->d_name[0]) && parent_of(entry->d_name) == getpid())
            kill((pid_t)strtol(entry->d_name, NULL, 10), SIGKILL);
    }
    closedir(proc);
}

int mp_test_end_children(void)
{
    int ended = 0;

    /* Each death may hand over the dead one's own children: until there is none. */
    while (ended < SANE_CHILDREN) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);

        if (pid < 0)
            break;
        if (pid > 0) {
            ended++;
            continue;
        }
        kill_children();
        nap();
    }
    return ended;
}
