/* Processes whose memory is known to the page.
 *
 * memory_fixture MODE [ARGUMENT...] says on standard output where its memory lies and who its children are, then
 * "ready", and waits to be killed. Modes that do one thing more wait for a byte on standard input first. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define HUGE (2UL << 20)
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void begin(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the test, however that ends */
}

static int wait_for_end(void *unused)
{
    (void)unused;
    begin();
    for (;;)
        if (waitpid(-1, NULL, __WALL) < 0) /* the children are killed before their parent, which leaves none to init */
            pause();
    return 0;
}

static void ready(void)
{
    dprintf(STDOUT_FILENO, "ready\n");
}

static void wait_for_word(void)
{
    char byte;
    ready();
    if (read(STDIN_FILENO, &byte, 1) != 1)
        fail("read");
}

static char *map(const char *name, size_t pages, int flags, int fd)
{
    char *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (memory == MAP_FAILED)
        fail("mmap");
    madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);
    dprintf(STDOUT_FILENO, "%s %lx\n", name, (unsigned long)memory);
    return memory;
}

/* Writing maps exactly the pages that are written; reading a file would map those around it too. */
static void touch(char *memory, size_t from, size_t to)
{
    for (size_t page = from; page < to; page++)
        memory[page * PAGE]++;
}

static void fork_waiting(void (*prepare)(size_t), size_t number)
{
    int done[2];
    char byte;
    if (pipe(done) != 0)
        fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
        begin();
        if (prepare)
            prepare(number);
        close(done[0]);
        if (write(done[1], ".", 1) != 1)
            _exit(1);
        close(done[1]);
        wait_for_end(NULL);
    }
    close(done[1]);
    if (pid < 0 || read(done[0], &byte, 1) != 1)
        fail("fork");
    close(done[0]);
    dprintf(STDOUT_FILENO, "child %d\n", (int)pid);
}

static char *shared, *private, *file;
static size_t pages, children;

/* Child n of N has the first n/N of the shared map and all behind the first (n-1)/N of the file, and n-1/2N to n/2N of
 * the private map are its own copy. */
static void share(size_t n)
{
    touch(shared, 0, pages * n / children);
    touch(file, pages * (n - 1) / children, pages);
    touch(private, pages * (n - 1) / (2 * children), pages * n / (2 * children));
}

static void tree(char **arguments)
{
    int fd = open(arguments[0], O_RDWR);
    pages = strtoul(arguments[1], NULL, 10);
    children = strtoul(arguments[2], NULL, 10);
    if (fd < 0)
        fail(arguments[0]);
    shared = map("shared", pages, MAP_SHARED | MAP_ANONYMOUS, -1);
    private = map("private", pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    file = map("file", pages, MAP_SHARED, fd);
    touch(shared, 0, pages);
    touch(private, 0, pages);
    touch(file, 0, pages);
    for (size_t n = 1; n <= children; n++)
        fork_waiting(share, n);
}

static void rewrite(size_t number)
{
    (void)number;
    touch(private, 0, pages);
}

/* Children that have as much memory as each other, and share none of it. */
static void workers(char **arguments)
{
    pages = strtoul(arguments[0], NULL, 10);
    children = strtoul(arguments[1], NULL, 10);
    private = map("private", pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    for (size_t n = 1; n <= children; n++)
        fork_waiting(rewrite, n);
}

static void touch_huge(char *memory, size_t from, size_t to)
{
    for (size_t page = from; page < to; page++)
        memory[page * HUGE]++;
}

/* Maps a file in hugetlbfs and uses the huge pages [from, to) of it, and as many private ones as are asked for. */
static void huge(char **arguments)
{
    int fd = open(arguments[0], O_RDWR | O_CREAT, 0600);
    size_t size = strtoul(arguments[1], NULL, 10), from = strtoul(arguments[2], NULL, 10);
    size_t to = strtoul(arguments[3], NULL, 10), own = strtoul(arguments[4], NULL, 10);
    if (fd < 0)
        fail(arguments[0]);
    touch_huge(map("shared", size * HUGE / PAGE, MAP_SHARED, fd), from, to);
    if (own)
        touch_huge(map("private", own * HUGE / PAGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1), 0, own);
}

static void swap(char **arguments)
{
    pages = strtoul(arguments[0], NULL, 10);
    children = strtoul(arguments[1], NULL, 10);
    unsigned long *words = (unsigned long *)map("private", pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    unsigned long random = 88172645463325252UL; /* xorshift: does not compress */
    for (size_t at = 0; at < pages * PAGE / sizeof *words; at++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        words[at] = random;
    }
    if (madvise(words, pages * PAGE, MADV_PAGEOUT) != 0)
        fail("madvise");
    for (size_t n = 1; n <= children; n++)
        fork_waiting(NULL, n);
}

static void clone_vm(char **arguments)
{
    static char stack[16 * PAGE];
    pages = strtoul(arguments[0], NULL, 10);
    touch(map("private", pages, MAP_PRIVATE | MAP_ANONYMOUS, -1), 0, pages);
    int pid = clone(wait_for_end, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL);
    if (pid < 0)
        fail("clone");
    dprintf(STDOUT_FILENO, "child %d\n", pid);
}

static void zombie(char **arguments)
{
    siginfo_t ended;
    char byte;
    pid_t pid = fork();
    (void)arguments;
    if (pid == 0)
        _exit(0);
    if (waitid(P_PID, pid, &ended, WEXITED | WNOWAIT) != 0)
        fail("waitid");
    dprintf(STDOUT_FILENO, "child %d\n", (int)pid);
    ready();
    if (read(STDIN_FILENO, &byte, 1) < 0)
        fail("read");
}

static void *go_on(void *unused)
{
    ready();
    for (;;)
        pause();
    return unused;
}

static void leaderless(char **arguments)
{
    pthread_t thread;
    (void)arguments;
    if (pthread_create(&thread, NULL, go_on, NULL) != 0)
        fail("pthread_create");
    pthread_exit(NULL);
}

static void crumble(char **arguments)
{
    pages = strtoul(arguments[0], NULL, 10);
    char *memory = map("private", pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    touch(memory, 0, pages);
    for (size_t page = 0; page < pages; page += 2)
        if (mprotect(memory + page * PAGE, PAGE, PROT_READ) != 0)
            fail("mprotect");
}

static void take_name(char **arguments)
{
    wait_for_word();
    prctl(PR_SET_NAME, arguments[0], 0, 0, 0);
}

static void execute(char **arguments)
{
    if (arguments[1])
        crumble(arguments + 1);
    wait_for_word();
    execl(arguments[0], arguments[0], "idle", NULL);
    fail(arguments[0]);
}

static void idle(char **arguments)
{
    (void)arguments;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(char **);
    } modes[] = {{"tree", tree},         {"swap", swap},       {"clone", clone_vm}, {"zombie", zombie},
                 {"leaderless", leaderless}, {"name", take_name}, {"exec", execute},   {"idle", idle},
                 {"workers", workers},   {"huge", huge}};
    begin();
    for (size_t mode = 0; argc > 1 && mode < sizeof modes / sizeof *modes; mode++)
        if (strcmp(argv[1], modes[mode].name) == 0) {
            modes[mode].run(argv + 2);
            ready();
            wait_for_end(NULL);
        }
    return 2;
}
