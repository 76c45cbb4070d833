/* A process that is watched and feels it: takes a name and memory in 4 KiB pages, then maps, touches and unmaps one more
 * page, over and over, and keeps what that took. mmap(2) and munmap(2) wait while somebody reads its page tables.
 *
 * giant NAME MIB PAUSE_US
 *
 * For each line "HOLD" on standard input, nanoseconds, writes "CALLS P999 LONGEST HOLDS HELD" of the time since the line
 * before: the 99.9th percentile of what took less than HOLD, and the longest, number and sum of what took as long or
 * longer; all times in nanoseconds. Ends with its input. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define PAGE 4096
#define MOST (16 << 20) /* calls between two lines */

static uint32_t took[MOST];
static atomic_uint calls;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static char *map(size_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        exit(1);
    return memory;
}

static void *feel(void *pause)
{
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    for (;;) {
        nanosleep(pause, NULL);
        uint64_t before = now_ns();
        char *page = map(PAGE);
        *(volatile char *)page = 1;
        munmap(page, PAGE);
        uint64_t ns = now_ns() - before;
        unsigned number = atomic_load(&calls);
        if (number == MOST)
            exit(3);
        took[number] = ns < UINT32_MAX ? ns : UINT32_MAX;
        atomic_compare_exchange_strong(&calls, &number, number + 1); /* fails where `answer` has begun anew */
    }
    return NULL;
}

static int ascending(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static int answer(uint64_t hold)
{
    uint64_t held = 0;
    unsigned count = atomic_load(&calls), usual;
    qsort(took, count, sizeof *took, ascending);
    for (usual = count; usual > 0 && took[usual - 1] >= hold; usual--)
        held += took[usual - 1];
    uint32_t p999 = usual ? took[(uint64_t)usual * 999 / 1000] : 0, longest = count ? took[count - 1] : 0;
    printf("%u %u %u %u %llu\n", count, p999, longest, count - usual, (unsigned long long)held);
    atomic_store(&calls, 0); /* what came in during the sorting is not counted */
    return fflush(stdout) == 0;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the bench, however that ends */
    if (argc != 4 || prctl(PR_SET_NAME, argv[1], 0, 0, 0) != 0)
        return 2;
    size_t size = strtoul(argv[2], NULL, 10) << 20;
    if (size > 0) {
        char *memory = map(size);
        madvise(memory, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size; at += PAGE)
            memory[at] = 1;
    }
    long us = strtol(argv[3], NULL, 10);
    struct timespec pause = {us / 1000000, us % 1000000 * 1000};
    pthread_t thread;
    if (pthread_create(&thread, NULL, feel, &pause) != 0)
        return 1;
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL)
        if (!answer(strtoull(line, NULL, 10)))
            return 1;
    return 0;
}
