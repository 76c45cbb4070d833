/* A process and its child with a known number of pages in every kind of mapping.
 *
 * mapping_fixture FILE DOOMED makes both files, unlinks the second, and says on standard output where its memory lies,
 * the ids of its System V segments, of which the second one is marked to end, and who its child is. Both say "ready".
 * Region number n, in the order in which main makes them, has 100 + 10 * n pages, all of them written. The child writes
 * half of "private" and of "shared"; of the others that are shared it maps no page. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL

static int number;

static void check(int is_wrong, const char *what)
{
    if (is_wrong) {
        perror(what);
        exit(1);
    }
}

static size_t pages_of_next(void)
{
    return 100 + 10 * (size_t)number++;
}

static char *fill(const char *name, char *memory, size_t pages)
{
    check(memory == (char *)-1, name);
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    for (size_t page = 0; page < pages; page++)
        memory[page * PAGE] = 1;
    if (name)
        dprintf(STDOUT_FILENO, "%s %lx\n", name, (unsigned long)memory);
    return memory;
}

static char *map(const char *name, int flags, int fd)
{
    size_t pages = pages_of_next();
    for (size_t page = 0; fd >= 0 && page < pages; page++) /* page by page: no large folios */
        check(pwrite(fd, "", 1, (off_t)((page + 1) * PAGE - 1)) != 1, name);
    return fill(name, mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0), pages);
}

static int attach(const char *name)
{
    size_t pages = pages_of_next();
    int id = shmget(IPC_PRIVATE, pages * PAGE, IPC_CREAT | 0600);
    check(id < 0, "shmget");
    fill(name, shmat(id, NULL, 0), pages);
    return id;
}

static void *run(void *name)
{
    volatile char stack[32 * PAGE];
    for (size_t page = 0; page < 32; page++)
        stack[page * PAGE] = (char)page;
    pthread_setname_np(pthread_self(), name);
    for (;;)
        pause();
    return (void *)(size_t)stack[0];
}

static void start(const char *name)
{
    pthread_t thread;
    char comm[16];
    check(pthread_create(&thread, NULL, run, (void *)name) != 0, "pthread_create");
    do { /* until it has its name, and so its stack */
        usleep(1000);
        check(pthread_getname_np(thread, comm, sizeof comm) != 0, "pthread_getname_np");
    } while (strcmp(comm, name) != 0);
    usleep(50000);
}

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the test, however that ends */
    check(argc != 3, "arguments");
    size_t pages = pages_of_next();
    fill("heap", sbrk((intptr_t)(pages * PAGE)), pages);
    size_t private_pages = 100 + 10 * (size_t)number;
    char *private = map("private", MAP_PRIVATE | MAP_ANONYMOUS, -1);
    size_t shared_pages = 100 + 10 * (size_t)number;
    char *shared = map("shared", MAP_SHARED | MAP_ANONYMOUS, -1);
    map("file", MAP_SHARED, open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600));
    map("doomed", MAP_SHARED, open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600));
    unlink(argv[2]);
    map("memfd", MAP_SHARED, memfd_create("a\033[2J\n 9 [heap]", 0));
    int staying = attach("staying"), ending = attach("ending");
    shmctl(ending, IPC_RMID, NULL);
    dprintf(STDOUT_FILENO, "staying_id %x\nending_id %x\n", staying, ending);
    pid_t child = fork();
    check(child < 0, "fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        fill(NULL, private, private_pages / 2);
        fill(NULL, shared, shared_pages / 2);
        dprintf(STDOUT_FILENO, "child %d\nready\n", (int)getpid());
        for (;;)
            pause();
    }
    start("worker");
    start("\033[2J\n x");
    dprintf(STDOUT_FILENO, "ready\n");
    for (;;)
        if (waitpid(-1, NULL, 0) < 0)
            pause();
}
