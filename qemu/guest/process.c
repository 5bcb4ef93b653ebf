// SPDX-License-Identifier: MIT
// Children of /init. Both streams of a step go to one log on the share, byte by byte, and to the host as events, line
// by line. A line `@kmho JSON` is an event of the step's own, `@kmho-ready` lets the job go on.

#define _GNU_SOURCE
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mounts.h"
#include "report.h"

/* So many at once; a job that starts more is a mistake */
#define MAX_RUNNING 64
/* A longer line is reported in parts; one that starts with @kmho may be so long */
#define LINE_PART (16 << 10)
#define DATA_LINE_MAX (1 << 20)
#define DATA_PREFIX "@kmho "
#define READY_LINE "@kmho-ready"

struct stream {
	const char *name;
	int fd;
	char *line;
	size_t len, room;
};

struct process {
	struct process *older;
	char name[STEP_NAME_MAX + 1];
	int stage;
	pid_t pid;
	struct stream out, err;
	int in, log;
	int64_t started, deadline;
	bool ready, ended, timed_out;
	int code;
};

/* Kept when they have ended: the job may still ask for their codes */
static struct process *newest;
static struct process *listener;	/* gets the host's lines */
static int child_fd = -1;

void process_init(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	child_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	signal(SIGPIPE, SIG_IGN);
}

static void kmsg_mark(const struct process *p, const char *what)
{
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	/* qemu/src/console.ts attributes what the kernel says next to this step */
	dprintf(fd, "<6>kmho-guest: stage %d step %s %s\n", p->stage, p->name, what);
	close(fd);
}

static struct process *new_process(const struct step *step)
{
	struct process *p = calloc(1, sizeof(*p));

	if (!p) {
		say("no memory for step %s", step->name);
		abort();
	}
	p->older = newest;
	newest = p;
	snprintf(p->name, sizeof(p->name), "%s", step->name);
	p->stage = step->stage;
	p->started = now_ms();
	p->deadline = step->timeout_ms ? p->started + step->timeout_ms : 0;
	p->out = (struct stream){ .name = "stdout", .fd = -1 };
	p->err = (struct stream){ .name = "stderr", .fd = -1 };
	p->in = -1;
	p->log = -1;
	return p;
}

static size_t nr_running(void)
{
	size_t nr = 0;

	for (struct process *p = newest; p; p = p->older)
		nr += !p->ended;
	return nr;
}

static void child_env(const struct step *step)
{
	char stage[16];

	clearenv();
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/tmp", 1);
	setenv("TERM", "linux", 1);
	setenv("LANG", "C.UTF-8", 1);
	snprintf(stage, sizeof(stage), "%d", step->stage);
	setenv("KMHO_STAGE", stage, 1);
	for (char **e = step->env; e && *e; e++)
		putenv(*e);
}

static void __attribute__((noreturn)) child_exec(const struct step *step)
{
	sigset_t none;
	const char *what;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	what = "enter the root";
	if (step->in_root && enter_root())
		goto fail;
	what = step->cwd;
	if (step->cwd) {
		if (chdir(step->cwd))
			goto fail;
	} else if (chdir(SHARE)) {
		what = "/";
		if (chdir("/"))
			goto fail;
	}
	what = "setuid";
	if (step->uid && (setgroups(0, NULL) || setgid(step->uid) || setuid(step->uid)))
		goto fail;
	umask(022);
	child_env(step);
	what = step->argv[0];
	execvp(step->argv[0], step->argv);
fail:
	dprintf(STDERR_FILENO, "kmho-init: %s: %s\n", what, strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static void make_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC)) {
		say("pipe: %s", strerror(errno));
		ends[0] = ends[1] = -1;
	}
}

static int open_log(const struct step *step)
{
	char path[128];

	snprintf(path, sizeof(path), SHARE "/out/%d-%s.log", step->stage, step->name);
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static void announce(const struct process *p, const struct step *step)
{
	ev_begin("exec", p->stage);
	ev_str("step", p->name);
	ev_num("uid", step->uid);
	ev_num("pid", p->pid);
	ev_strv("argv", step->argv);
	ev_end();
}

static void report_exit(struct process *p, int status)
{
	p->ended = true;
	if (WIFSIGNALED(status))
		p->code = 128 + WTERMSIG(status);
	else
		p->code = WEXITSTATUS(status);
	if (p->timed_out)
		p->code = CODE_TIMED_OUT;
	kmsg_mark(p, "ends");
	ev_begin("exit", p->stage);
	ev_str("step", p->name);
	ev_num("code", p->code);
	if (WIFSIGNALED(status))
		ev_num("signal", WTERMSIG(status));
	if (p->timed_out)
		ev_bool("timedOut", true);
	ev_num("ms", now_ms() - p->started);
	ev_end();
}

struct process *process_start(const struct step *step)
{
	bool too_many = nr_running() >= MAX_RUNNING;
	struct process *p = new_process(step);
	int in[2] = { -1, -1 }, out[2], err[2];

	if (too_many) {
		say("step %s is one more than %d at once", step->name, MAX_RUNNING);
		report_exit(p, 126 << 8);
		return p;
	}
	make_pipe(out);
	make_pipe(err);
	if (step->want_stdin)
		make_pipe(in);
	p->log = open_log(step);
	kmsg_mark(p, "starts");
	p->pid = fork();
	if (p->pid == 0) {
		/* A group of its own, so that a time-out reaches grandchildren */
		setsid();
		if (in[0] < 0)
			in[0] = open("/dev/null", O_RDONLY);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		child_exec(step);
	}
	close(out[1]);
	close(err[1]);
	if (in[0] >= 0)
		close(in[0]);
	p->in = in[1];
	p->out.fd = out[0];
	p->err.fd = err[0];
	fcntl(p->out.fd, F_SETFL, O_NONBLOCK);
	fcntl(p->err.fd, F_SETFL, O_NONBLOCK);
	if (p->in >= 0) {
		fcntl(p->in, F_SETFL, O_NONBLOCK);
		listener = p;
	}
	announce(p, step);
	if (p->pid < 0) {
		say("fork: %s", strerror(errno));
		report_exit(p, 126 << 8);
	}
	return p;
}

struct process *process_start_shell(const struct step *step, const char *tty)
{
	struct process *p = new_process(step);

	kmsg_mark(p, "starts");
	p->pid = fork();
	if (p->pid == 0) {
		int fd;

		setsid();
		fd = open(tty, O_RDWR);
		if (fd < 0) {
			say("%s: %s", tty, strerror(errno));
			_exit(126);
		}
		ioctl(fd, TIOCSCTTY, 1);
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
		if (fd > STDERR_FILENO)
			close(fd);
		child_exec(step);
	}
	announce(p, step);
	if (p->pid < 0)
		report_exit(p, 126 << 8);
	return p;
}

static bool starts_with(const char *text, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && !memcmp(text, prefix, strlen(prefix));
}

static void report_line(struct process *p, struct stream *s, const char *text,
			size_t len, bool eol)
{
	bool whole = eol && s == &p->out;

	if (whole && starts_with(text, len, DATA_PREFIX)) {
		ev_begin("data", p->stage);
		ev_str("step", p->name);
		ev_raw("data", text + strlen(DATA_PREFIX), len - strlen(DATA_PREFIX));
		ev_end();
		return;
	}
	if (whole && len == strlen(READY_LINE) && starts_with(text, len, READY_LINE)) {
		p->ready = true;
		ev_begin("ready", p->stage);
		ev_str("step", p->name);
		ev_end();
		return;
	}
	ev_begin("output", p->stage);
	ev_str("step", p->name);
	ev_str("stream", s->name);
	ev_bytes("line", text, len);
	ev_bool("eol", eol);
	ev_end();
}

static void stream_lines(struct process *p, struct stream *s, bool last)
{
	char *start = s->line, *end;
	size_t left = s->len, max = LINE_PART;

	while (left && (end = memchr(start, '\n', left))) {
		report_line(p, s, start, end - start, true);
		left -= end + 1 - start;
		start = end + 1;
	}
	if (s == &p->out && starts_with(start, left, DATA_PREFIX))
		max = DATA_LINE_MAX;
	if (left && (last || left >= max)) {
		report_line(p, s, start, left, false);
		left = 0;
	}
	memmove(s->line, start, left);
	s->len = left;
}

/* Reads what is there. False at the end of the stream. */
static bool stream_read(struct process *p, struct stream *s)
{
	for (int rounds = 0; rounds < 16; rounds++) {
		ssize_t n;

		if (s->room - s->len < 65536) {
			char *grown = realloc(s->line, s->room + (128 << 10));

			if (!grown)
				return true;
			s->line = grown;
			s->room += 128 << 10;
		}
		n = read(s->fd, s->line + s->len, s->room - s->len);
		if (n == 0)
			return false;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (p->log >= 0 && write(p->log, s->line + s->len, n) != n) {
			say("the log of %s: %s", p->name, strerror(errno));
			close(p->log);
			p->log = -1;
		}
		s->len += n;
		stream_lines(p, s, false);
	}
	return true;
}

static void stream_close(struct process *p, struct stream *s)
{
	if (s->fd < 0)
		return;
	stream_lines(p, s, true);
	close(s->fd);
	free(s->line);
	s->line = NULL;
	s->room = 0;
	s->fd = -1;
}

static void stream_drain(struct process *p, struct stream *s)
{
	if (s->fd < 0)
		return;
	/* Not until the end: a grandchild may hold the other end open */
	stream_read(p, s);
	stream_close(p, s);
}

static void reap(void)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(child_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (struct process *p = newest; p; p = p->older) {
			if (p->pid != pid || p->ended)
				continue;
			stream_drain(p, &p->out);
			stream_drain(p, &p->err);
			if (p->in >= 0)
				close(p->in);
			if (p->log >= 0)
				close(p->log);
			p->in = -1;
			p->log = -1;
			if (listener == p)
				listener = NULL;
			report_exit(p, status);
		}
	}
}

struct process *process_find(const char *name)
{
	for (struct process *p = newest; p; p = p->older)
		if (!strcmp(p->name, name))
			return p;
	return NULL;
}

bool process_ended(const struct process *p)
{
	return p->ended;
}

bool process_ready(const struct process *p)
{
	return p->ready;
}

int process_code(const struct process *p)
{
	return p->code;
}

int process_kill(const struct process *p, int signal)
{
	return p->ended || p->pid <= 0 ? -ESRCH : kill(p->pid, signal) ? -errno : 0;
}

void process_kill_all(void)
{
	kill(-1, SIGKILL);
}

void process_input(const char *text, size_t len)
{
	if (!listener || listener->in < 0) {
		say("nobody reads the host's line: %.*s", (int)len, text);
		return;
	}
	/* PIPE_BUF holds for the newline too: one write */
	char *line = malloc(len + 1);

	if (!line)
		return;
	memcpy(line, text, len);
	line[len] = '\n';
	for (size_t done = 0; done < len + 1;) {
		ssize_t n = write(listener->in, line + done, len + 1 - done);

		if (n > 0) {
			done += n;
		} else if (errno == EAGAIN) {
			struct pollfd fd = { .fd = listener->in, .events = POLLOUT };

			poll(&fd, 1, 1000);
		} else {
			break;
		}
	}
	free(line);
}

static int next_deadline(int wait_ms)
{
	int64_t now = now_ms();

	for (struct process *p = newest; p; p = p->older) {
		if (p->ended || !p->deadline)
			continue;
		if (p->deadline <= now) {
			p->timed_out = true;
			p->deadline = 0;
			kill(-p->pid, SIGKILL);
			kill(p->pid, SIGKILL);
		} else if (wait_ms < 0 || p->deadline - now < wait_ms) {
			wait_ms = p->deadline - now;
		}
	}
	return wait_ms;
}

bool process_pump(int wait_ms)
{
	struct pollfd fds[2 + 2 * MAX_RUNNING];
	struct stream *streams[2 + 2 * MAX_RUNNING];
	struct process *owners[2 + 2 * MAX_RUNNING];
	nfds_t nr = 2;
	bool go;

	wait_ms = next_deadline(wait_ms);
	fds[0] = (struct pollfd){ .fd = child_fd, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = report_fd(), .events = POLLIN };
	for (struct process *p = newest; p; p = p->older) {
		struct stream *both[2] = { &p->out, &p->err };

		for (int k = 0; k < 2; k++) {
			if (both[k]->fd < 0)
				continue;
			streams[nr] = both[k];
			owners[nr] = p;
			fds[nr++] = (struct pollfd){ .fd = both[k]->fd, .events = POLLIN };
		}
	}
	poll(fds, nr, wait_ms);
	/* A host that went away makes poll(2) return at once, always */
	if (fds[1].revents & POLLHUP && !(fds[1].revents & POLLIN))
		poll(fds, 1, 20);
	go = report_read(process_input);
	for (nfds_t i = 2; i < nr; i++)
		if (fds[i].revents && !stream_read(owners[i], streams[i]))
			stream_close(owners[i], streams[i]);
	reap();
	return go;
}
