/* SPDX-License-Identifier: MIT */
/*
 * main() of a fuzz target without libFuzzer, for any compiler: gives it every file of the folders
 * named on the command line, and fails when there is none.
 */
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>

#include "fuzz.h"

enum { INPUT_MAX = 1 << 20 };

static bool replay_file(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        perror(path);
        return false;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    bool whole = feof(file) && !ferror(file);
    fclose(file);
    if (!whole) {
        fprintf(stderr, "%s: not read, or too large\n", path);
        return false;
    }
    fprintf(stderr, "%s\n", path); /* the last one is the one that fails */
    uint8_t *copy = (uint8_t *)fuzz_copy(data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return true;
}

/* Returns the number of inputs, or -1. */
static int replay_folder(const char *folder)
{
    char path[PATH_MAX];
    DIR *dir = opendir(folder);
    int count = 0;

    if (dir == NULL) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry; count >= 0 && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        count = replay_file(path) ? count + 1 : -1;
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay_folder(argv[i]);
        if (count < 0)
            return 1;
        total += count;
    }
    printf("%d inputs\n", total);
    return total > 0 ? 0 : 1;
}
