/* One of a crowd: takes the name and the memory that it is given, says so with one byte, and waits to be killed.
 *
 * crowd NAME MIB */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* nothing outlives the bench, however that ends */
    if (argc != 3 || prctl(PR_SET_NAME, argv[1], 0, 0, 0) != 0)
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
    if (write(STDOUT_FILENO, ".", 1) != 1)
        return 1;
    close(STDOUT_FILENO);
    for (;;)
        pause();
}
