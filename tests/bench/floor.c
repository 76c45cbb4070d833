/* Read /proc/PID/smaps_rollup of many processes and do nothing with what it says: the least that a sampler can cost.
 *
 * For each line "ROUNDS PID PID ..." on standard input, writes a line "CPU WALL READS" to standard output: what one
 * round took in microseconds, and how many processes it read. Ends at the end of its input, or where a read fails. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double cpu_us(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 + used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static double wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void read_one(long pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text) <= 0) {
        perror(path);
        exit(1);
    }
    close(fd);
}

static int answer(char *line)
{
    char *rest;
    long rounds = strtol(line, &rest, 10), reads = 0;
    double cpu = cpu_us(), wall = wall_us();
    for (long round = 0; round < rounds; round++) {
        char *next = rest, *end;
        for (long pid = strtol(next, &end, 10); end != next; pid = strtol(next, &end, 10)) {
            read_one(pid);
            next = end;
            reads++;
        }
    }
    if (rounds <= 0 || reads == 0)
        return 0;
    printf("%.1f %.1f %ld\n", (cpu_us() - cpu) / rounds, (wall_us() - wall) / rounds, reads / rounds);
    return fflush(stdout) == 0;
}

int main(void)
{
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0)
        if (!answer(line))
            return 1;
    return 0;
}
