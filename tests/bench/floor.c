/* What it costs to ask the kernel, and nothing else: the floor below which no agent can go.
 *
 *     floor MILLISECONDS WHAT...
 *
 * Once per interval, on a beat of the monotonic clock: a file is read to its end with pread into one
 * buffer, a directory is asked with statvfs. "10:/proc/uptime" is asked in every tenth round only. Files
 * stay open; what cannot be opened is said at the start and left out. Nothing is done with what was
 * read. footprint.py names the files that the agent beside it holds open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { WHAT_MAX = 4096, BUFFER_BYTES = 16 << 20, SHORT_BYTES = 2048 };

struct what {
    const char* path;
    unsigned every; /* rounds */
    int fd;         /* -1: a directory */
    int short_file;
};

static struct what whats[WHAT_MAX];
static char buffer[BUFFER_BYTES]; /* only the pages that are read into exist */

static int add(struct what* out, const char* text) {
    char* end = NULL;
    const unsigned long every = strtoul(text, &end, 10);
    const int prefixed = end != text && *end == ':';
    out->every = prefixed && every > 0 ? (unsigned)every : 1;
    out->path = prefixed ? end + 1 : text;
    out->fd = -1;
    struct stat info;
    if (stat(out->path, &info) != 0) return 0;
    if (S_ISDIR(info.st_mode)) return 1;
    out->fd = open(out->path, O_RDONLY | O_CLOEXEC);
    return out->fd >= 0;
}

/* Many files of the kernel's come a page at a time, and only 0 is the end. What left most of its first
 * page empty is asked once from then on. */
static void ask(struct what* what) {
    if (what->fd < 0) {
        struct statvfs space;
        (void)statvfs(what->path, &space);
        return;
    }
    ssize_t n = pread(what->fd, buffer, sizeof buffer, 0);
    if (what->short_file) return;
    what->short_file = n < SHORT_BYTES; /* or an interface that is down and has no speed */
    for (size_t filled = 0; n > 0 && filled + (size_t)n < sizeof buffer;) {
        filled += (size_t)n;
        n = pread(what->fd, buffer + filled, sizeof buffer - filled, (off_t)filled);
    }
}

int main(int argc, char** argv) {
    if (argc < 3 || argc - 2 > WHAT_MAX) {
        fprintf(stderr, "usage: floor MILLISECONDS [EVERY:]FILE-OR-DIRECTORY...\n");
        return 2;
    }
    const long milliseconds = strtol(argv[1], NULL, 10);
    if (milliseconds < 1) {
        fprintf(stderr, "floor: \"%s\" is no interval in milliseconds\n", argv[1]);
        return 2;
    }
    int count = 0;
    for (int i = 2; i < argc; ++i) {
        if (add(&whats[count], argv[i])) {
            ++count;
        } else {
            fprintf(stderr, "floor: %s: %s\n", argv[i], strerror(errno));
        }
    }
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (unsigned long round = 0;; ++round) {
        for (int i = 0; i < count; ++i) {
            if (round % whats[i].every == 0) ask(&whats[i]);
        }
        next.tv_sec += milliseconds / 1000;
        next.tv_nsec += milliseconds % 1000 * 1000000;
        next.tv_sec += next.tv_nsec / 1000000000;
        next.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
    }
}
