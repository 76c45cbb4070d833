/* One of a crowd: takes the name, the memory, the mappings of one page each, the further threads and the open files that
 * it is given, says so with one byte, and waits to be killed.
 *
 * crowd NAME MIB MAPPINGS THREADS FILES */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

static void *wait_for_the_end(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the bench, however that ends */
    if (argc != 6 || prctl(PR_SET_NAME, argv[1], 0, 0, 0) != 0)
        return 2;
    size_t size = strtoul(argv[2], NULL, 10) << 20;
    if (size > 0) {
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
            return 1;
        madvise(memory, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size; at += 4096)
            memory[at] = 1;
    }
    for (long left = strtol(argv[3], NULL, 10); left > 0; left--) {
        /* Neighbours of one protection would be one mapping. */
        char *page = mmap(NULL, 4096, left % 2 ? PROT_READ | PROT_WRITE : PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            return 1;
        (void)*(volatile char *)page;
    }
    for (long left = strtol(argv[4], NULL, 10); left > 0; left--) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, wait_for_the_end, NULL) != 0)
            return 1;
    }
    for (long left = strtol(argv[5], NULL, 10); left > 0; left--)
        if (open("/dev/null", O_RDONLY) < 0)
            return 1;
    if (write(STDOUT_FILENO, ".", 1) != 1)
        return 1;
    close(STDOUT_FILENO);
    wait_for_the_end(NULL);
}
