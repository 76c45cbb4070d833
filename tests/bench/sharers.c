/* Processes that share memory, come and go as they are told: the first has a name and some memory, its children have
 * what fork(2) leaves them of it.
 *
 * sharers NAME MIB [FILE]
 *
 * Memory is private and anonymous, or FILE shared, in 4 KiB pages, all of them touched. For each line
 * "START END WRITE REWRITE" on standard input, starts so many children, waits until each has touched all of it and
 * written to WRITE pages, ends so many, the oldest first, writes to the first's own next REWRITE pages, and answers with
 * the number of children. All end with its input. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define MOST 65536

static volatile char *memory;
static size_t size;
static pid_t children[MOST];
static unsigned oldest, next;

static void die_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the bench, however that ends */
}

static void live(size_t pages, int ready)
{
    die_with_parent();
    char sum = 0;
    for (size_t at = 0; at < size; at += PAGE)
        sum += memory[at];
    for (size_t at = 0; at < size && at < pages * PAGE; at += PAGE)
        memory[at] = sum;
    if (write(ready, ".", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static int start(unsigned count, size_t pages)
{
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return 0;
    for (unsigned number = 0; number < count; number++) {
        pid_t child = fork();
        if (child < 0)
            return 0;
        if (child == 0)
            live(pages, ready[1]);
        children[next++ % MOST] = child;
    }
    for (unsigned number = 0; number < count; number++)
        if (read(ready[0], &byte, 1) != 1)
            return 0;
    close(ready[0]);
    close(ready[1]);
    return 1;
}

static void end(unsigned count)
{
    for (; count > 0 && oldest != next; count--) {
        pid_t child = children[oldest++ % MOST];
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    die_with_parent();
    if (argc < 3 || prctl(PR_SET_NAME, argv[1], 0, 0, 0) != 0)
        return 2;
    size = strtoul(argv[2], NULL, 10) << 20;
    int file = argc > 3 ? open(argv[3], O_RDWR | O_CLOEXEC) : -1;
    if (size > 0) {
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, file, 0);
        if (memory == MAP_FAILED)
            return 1;
        madvise((void *)memory, size, MADV_NOHUGEPAGE);
    }
    for (size_t at = 0; at < size; at += PAGE)
        memory[at] = 1;
    char line[64];
    size_t rewritten = 0;
    while (fgets(line, sizeof line, stdin) != NULL) {
        unsigned started, ended;
        unsigned long pages, own;
        if (sscanf(line, "%u %u %lu %lu", &started, &ended, &pages, &own) != 4 || !start(started, pages))
            return 1;
        end(ended);
        for (; own > 0; own--, rewritten += PAGE)
            memory[rewritten % size] = 1;
        printf("%u\n", next - oldest);
        fflush(stdout);
    }
    end(next - oldest);
    return 0;
}
