/* How many programs this machine can start in a second, at best.
 *
 * One process per core, pinned to it, starts /bin/true and waits for it, again and again. No job
 * system that starts a process for each job can be faster, so its figure is what ours are measured
 * against. Usage: yardstick SECONDS. It prints programs per second, of all cores together.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}

static double rate_of_one_core(double seconds)
{
    char *argv[] = {"true", NULL}, *environment[] = {NULL};
    double begin = now(), end = begin;
    long count = 0;
    while (end - begin < seconds) {
        pid_t pid;
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environment) != 0) exit(1);
        waitpid(pid, NULL, 0);
        count++;
        end = now();
    }
    return count / (end - begin);
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? atof(argv[1]) : 1, sum = 0, rate;
    cpu_set_t allowed, one;
    int results[2], cores = 0;

    if (pipe(results) != 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 1;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed)) continue;
        cores++;
        if (fork() == 0) {
            CPU_ZERO(&one);
            CPU_SET(core, &one);
            sched_setaffinity(0, sizeof one, &one);
            rate = rate_of_one_core(seconds);
            _exit(write(results[1], &rate, sizeof rate) == sizeof rate ? 0 : 1);
        }
    }
    close(results[1]);
    for (; read(results[0], &rate, sizeof rate) == sizeof rate; cores--) sum += rate;
    while (wait(NULL) > 0) {}
    if (cores != 0) return 1; /* somebody could not finish: no figure is better than a wrong one */
    printf("%.1f\n", sum);
    return 0;
}
