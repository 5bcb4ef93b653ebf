/* SPDX-License-Identifier: MIT */
/*
 * The programs that the job runs: starting them, carrying their output to the
 * share and to the host, learning how they ended.
 */
#ifndef KMHO_GUEST_PROCESS_H
#define KMHO_GUEST_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STEP_NAME_MAX 64
/* As coreutils' timeout(1) */
#define CODE_TIMED_OUT 124

struct step {
	char name[STEP_NAME_MAX + 1];
	int stage;
	uid_t uid;
	char **argv;
	char **env;		/* beside what every step gets; NULL-terminated */
	const char *cwd;	/* NULL: the share, or / without one */
	int64_t timeout_ms;	/* 0: none */
	bool want_stdin;	/* the host's lines come on stdin */
	bool in_root;		/* below NEW_ROOT */
};

struct process;

/* Sets up the watching of children. To be called once, before any other. */
void process_init(void);

/* Never NULL: a program that cannot be run ends with code 126 or 127. */
struct process *process_start(const struct step *step);
/* One on the console, with a terminal of its own */
struct process *process_start_shell(const struct step *step, const char *tty);
struct process *process_find(const char *name);
bool process_ended(const struct process *p);
bool process_ready(const struct process *p);
int process_code(const struct process *p);
int process_kill(const struct process *p, int signal);
void process_kill_all(void);

/* A line of the host's for the program that was started last */
void process_input(const char *text, size_t len);

/*
 * Waits until something happened, @wait_ms at most (-1: no limit), and deals with
 * it. True when the host said "go".
 */
bool process_pump(int wait_ms);

#endif
