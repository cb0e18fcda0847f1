/* SPDX-License-Identifier: MIT */
/* What the tests of os share: a directory of their own, and code in a child process. */
#ifndef MP_TEST_OS_SCRATCH_H
#define MP_TEST_OS_SCRATCH_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/runner.h"

struct scratch {
    char dir[64];
    char path[192]; /* of scratch_path() */
};

static inline void scratch_make(struct scratch *scratch)
{
    snprintf(scratch->dir, sizeof(scratch->dir), "/tmp/millpond-test-XXXXXX");
    CHECK(mkdtemp(scratch->dir) != NULL);
}

static inline const char *scratch_path(struct scratch *scratch, const char *name)
{
    snprintf(scratch->path, sizeof(scratch->path), "%s/%s", scratch->dir, name);
    return scratch->path;
}

/* How many names are in the directory. */
static inline int scratch_count(const struct scratch *scratch)
{
    DIR *dir = opendir(scratch->dir);
    int count = -2;

    CHECK(dir != NULL);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Writes a small file at that name, making the directories above it. */
static inline void scratch_write(struct scratch *scratch, const char *name, const char *text)
{
    FILE *file;

    scratch_path(scratch, name);
    for (char *at = scratch->path + strlen(scratch->dir) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(scratch->path, 0700);
        *at = '/';
    }
    file = fopen(scratch->path, "we");
    CHECK(file != NULL);
    CHECK(fputs(text, file) >= 0);
    CHECK_OK(fclose(file));
}

static inline int scratch_remove_one(const char *path, const struct stat *info, int type,
                                     struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

/* Removes the directory with all that is in it. */
static inline void scratch_remove(const struct scratch *scratch)
{
    CHECK_OK(nftw(scratch->dir, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS));
}

/* Runs body in a child process; its checks count, because a failed one shows in the status. */
static inline void in_child(void (*body)(void *), void *argument)
{
    int status;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        body(argument);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

#endif
