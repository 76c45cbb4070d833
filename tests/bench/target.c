/* A large process that tells how long it had to wait for its own address space: the target of other people's reads.
 *
 * target NAME MIB 4k|huge: takes the memory in pages of that size, then answers each line of standard input with
 * the longest that one mmap with its munmap took since the line before, in microseconds: both need the mmap lock for
 * writing. Ends with its input. It tries ten thousand times a second, and ahead of all ordinary programs where that is
 * permitted, so that waiting for a CPU is not taken for waiting for the lock. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define HUGE (2UL << 20)

static _Atomic long longest_ns;

static long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static void *look(void *unused)
{
    const struct timespec pause = {.tv_nsec = 100000};
    for (;;) {
        long began = now_ns();
        void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(page, 4096);
        long took = now_ns() - began;
        if (took > atomic_load(&longest_ns))
            atomic_store(&longest_ns, took);
        nanosleep(&pause, NULL);
    }
    return unused;
}

static int start_looking(void)
{
    pthread_t thread;
    struct sched_param first = {.sched_priority = 1};
    if (pthread_create(&thread, NULL, look, NULL) != 0)
        return -1;
    pthread_setschedparam(thread, SCHED_FIFO, &first); /* refused without privilege: then the waits are noisier */
    return 0;
}

static void take(size_t size, int huge)
{
    char *memory = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    memory += HUGE - (size_t)memory % HUGE;
    madvise(memory, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 4096)
        memory[at] = 1;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the bench, however that ends */
    if (argc != 4 || prctl(PR_SET_NAME, argv[1], 0, 0, 0) != 0)
        return 2;
    take(strtoul(argv[2], NULL, 10) << 20, strcmp(argv[3], "huge") == 0);
    if (start_looking() != 0)
        return 1;
    while (getline(&line, &room, stdin) > 0) {
        printf("%.1f\n", atomic_exchange(&longest_ns, 0) / 1e3);
        fflush(stdout);
    }
    return 0;
}
