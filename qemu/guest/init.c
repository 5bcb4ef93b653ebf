// SPDX-License-Identifier: MIT
// /init of the guest: mounts what is there, tells the host which kernel runs, does its stage of the job, goes to the
// next kernel or powers off. It knows its stage from kmho.stage= on the command line. It never claims success by
// silence: the host believes only the "done" event. The job's form is written by qemu/src/job.ts.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "kexec-load.h"
#include "mounts.h"
#include "process.h"
#include "report.h"

#define CMDLINE_MAX 4096
#define MAX_WORDS 1024
#define MAX_ENV 128
#define CODE_MACHINERY 69
#define CODE_REFUSED 1
/* Longer than any host's onEvent should take; then the guest goes on alone */
#define HOST_ANSWERS_MS 600000

static char cmdline[CMDLINE_MAX];
static int stage = 1;
static bool has_share, has_root;
static int kmsg_fd = -1;

static void __attribute__((noreturn)) finish(int code);

static char *read_file(const char *path, size_t *len_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, room = 4096;
	char *text;
	ssize_t n;

	if (fd < 0)
		return NULL;
	text = malloc(room + 1);
	while (text && (n = read(fd, text + len, room - len)) > 0) {
		len += n;
		if (len == room) {
			char *grown = realloc(text, room * 2 + 1);

			if (!grown)
				break;
			text = grown;
			room *= 2;
		}
	}
	close(fd);
	if (text) {
		text[len] = '\0';
		if (len_out)
			*len_out = len;
	}
	return text;
}

static char *read_word(const char *path)
{
	char *text = read_file(path, NULL);

	if (text)
		text[strcspn(text, "\n")] = '\0';
	return text ? text : strdup("");
}

/* Value of a parameter of the command line; "" where it has none, NULL without it. */
static const char *parameter(const char *name)
{
	static char value[CMDLINE_MAX];
	size_t len = strlen(name);

	for (const char *s = cmdline; *s;) {
		size_t word = strcspn(s, " ");

		if (word >= len && !strncmp(s, name, len) &&
		    (word == len || s[len] == '=')) {
			size_t skip = word == len ? len : len + 1;

			snprintf(value, sizeof(value), "%.*s", (int)(word - skip), s + skip);
			return value;
		}
		s += word;
		s += strspn(s, " ");
	}
	return NULL;
}

/*
 * The kernel's own complaints, with their levels, which the console does not
 * show. Level 3 is "error".
 */
static void report_klog(void)
{
	char record[8192];
	ssize_t n;

	if (kmsg_fd < 0)
		return;
	for (;;) {
		unsigned int priority;
		char *text, *end;

		n = read(kmsg_fd, record, sizeof(record) - 1);
		if (n < 0 && errno == EPIPE)
			continue;	/* overwritten before it was read */
		if (n <= 0)
			return;
		record[n] = '\0';
		if (sscanf(record, "%u,", &priority) != 1)
			continue;
		/* The upper bits tell who wrote: 0 is the kernel */
		if (priority >> 3 || (priority & 7) > 3)
			continue;
		text = strchr(record, ';');
		if (!text)
			continue;
		end = strchr(++text, '\n');
		ev_begin("klog", stage);
		ev_num("level", priority & 7);
		ev_bytes("line", text, end ? (size_t)(end - text) : strlen(text));
		ev_end();
	}
}

static void __attribute__((noreturn)) fail_with(int code, const char *fmt, va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), fmt, args);
	say("%s", text);
	ev_begin("error", stage);
	ev_str("message", text);
	ev_end();
	finish(code);
}

/* What the job was promised is not there: not the kernel's fault. */
static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail_with(CODE_MACHINERY, fmt, args);
}

/* The kernel refused what the job asks of it. */
static void __attribute__((noreturn, format(printf, 1, 2))) refused(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fail_with(CODE_REFUSED, fmt, args);
}

static void await_host(void)
{
	int64_t until = now_ms() + HOST_ANSWERS_MS;

	while (report_fd() >= 0 && now_ms() < until)
		if (process_pump(1000))
			return;
}

/*
 * Have the debug flavor look for memory that nobody points to any more. What is
 * younger than five seconds is not suspected, and a leak only counts when a
 * second scan finds it unchanged. The kernel says how many there are, which fails
 * the run; where they were allocated is said here.
 */
static void scan_for_leaks(void)
{
	static const char path[] = "/sys/kernel/debug/kmemleak";
	char *leaks;
	int fd;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	sleep(6);
	/* Not beside what a test has left running */
	setpriority(PRIO_PROCESS, 0, -20);
	for (int i = 0; i < 2; i++)
		if (write(fd, "scan", 4) < 0)
			say("%s: %s", path, strerror(errno));
	setpriority(PRIO_PROCESS, 0, 0);
	close(fd);
	leaks = read_file(path, NULL);
	if (leaks && *leaks)
		say("%s", leaks);
	free(leaks);
}

static void finish(int code)
{
	scan_for_leaks();
	report_klog();
	ev_begin("done", stage);
	ev_num("code", code);
	ev_end();
	await_host();
	process_kill_all();
	sync();
	reboot(RB_POWER_OFF);
	say("power-off failed: %s", strerror(errno));
	for (;;)
		pause();
}

/*
 * The counter that goes on counting while one kernel makes room for the next:
 * the one clock that both have.
 */
static uint64_t machine_ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	uint64_t value;

	__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(value));
	return value;
#endif
}

static void report_boot(void)
{
	uint64_t ticks = machine_ticks();
	struct utsname name;
	char *boot_id = read_word("/proc/sys/kernel/random/boot_id");
	char *memory = read_file("/proc/meminfo", NULL);
	long long total = 0;

	uname(&name);
	if (memory)
		sscanf(memory, "MemTotal: %lld", &total);
	ev_begin("boot", stage);
	ev_str("release", name.release);
	ev_str("version", name.version);
	ev_str("machine", name.machine);
	ev_str("bootId", boot_id);
	ev_str("cmdline", cmdline);
	ev_num("uptimeMs", now_ms());
	ev_num("ticks", ticks);
	ev_num("memTotalKiB", total);
	ev_end();
	free(boot_id);
	free(memory);
}

static void loopback_up(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0)
		return;
	strcpy(request.ifr_name, "lo");
	ioctl(fd, SIOCSIFFLAGS, &request);
	close(fd);
}

/* \\, \n and \u (the separator of words, 0x1f), in place */
static char *unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from; from++) {
		if (*from == '\\' && from[1]) {
			from++;
			*to++ = *from == 'n' ? '\n' : *from == 'u' ? '\x1f' : *from;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
	return text;
}

/* Takes the next word off *line. */
static char *next_word(char **line)
{
	char *word = *line + strspn(*line, " ");

	*line = word + strcspn(word, " ");
	if (**line)
		*(*line)++ = '\0';
	if (!*word)
		fail("the job has a line that ends too early");
	return word;
}

static long next_number(char **line)
{
	char *word = next_word(line), *end;
	long value = strtol(word, &end, 10);

	if (*end || value < 0)
		fail("the job says `%s` where a number belongs", word);
	return value;
}

/* What `env`, `cwd`, `timeout` and `stdin` lines said about the program after them */
static struct {
	char *env[MAX_ENV + 1];
	size_t nr_env;
	const char *cwd;
	int64_t timeout_ms;
	bool want_stdin;
} next;

static struct process *start_step(char *line)
{
	static char *argv[MAX_WORDS + 1];
	struct step step = {
		.stage = stage,
		.argv = argv,
		.env = next.env,
		.cwd = next.cwd,
		.timeout_ms = next.timeout_ms,
		.want_stdin = next.want_stdin,
		.in_root = has_root,
	};
	struct process *p;
	size_t nr = 0;

	step.uid = next_number(&line);
	snprintf(step.name, sizeof(step.name), "%s", next_word(&line));
	for (char *word = line; word; nr++) {
		char *end = strchr(word, '\x1f');

		if (nr == MAX_WORDS)
			fail("step %s has more than %d arguments", step.name, MAX_WORDS);
		if (end)
			*end++ = '\0';
		argv[nr] = unescape(word);
		word = end;
	}
	argv[nr] = NULL;
	p = process_start(&step);
	memset(&next, 0, sizeof(next));
	return p;
}

static void await_end(struct process *p, bool may_fail)
{
	while (!process_ended(p))
		process_pump(-1);
	report_klog();
	if (process_code(p) && !may_fail)
		finish(process_code(p));
}

static void await_ready(struct process *p)
{
	while (!process_ended(p) && !process_ready(p))
		process_pump(-1);
	report_klog();
	if (!process_ready(p))
		finish(process_code(p) ? process_code(p) : CODE_MACHINERY);
}

static struct process *named(char **line)
{
	char *name = next_word(line);
	struct process *p = process_find(name);

	if (!p)
		fail("the job speaks of a step %s that was not started", name);
	return p;
}

static void load(char *line)
{
	char image[512], initrd[512], line_now[CMDLINE_MAX] = "", line_next[CMDLINE_MAX];
	int64_t start = now_ms();
	const char *what, *source;
	char *name = next_word(&line), *ramdisk = next_word(&line);
	int err;

	snprintf(image, sizeof(image), SHARE "/%s", name);
	snprintf(initrd, sizeof(initrd), SHARE "/%s", ramdisk);
	source = strcmp(line, "-") ? unescape(line) : cmdline;
	/* All but the old stage */
	while (*source) {
		size_t len = strcspn(source, " ");

		if (strncmp(source, "kmho.stage=", 11) && len) {
			strncat(line_now, source, len);
			strcat(line_now, " ");
		}
		source += len;
		source += strspn(source, " ");
		if (strlen(line_now) + strlen(source) + 32 > sizeof(line_now))
			fail("the next kernel's command line is longer than %d bytes", CMDLINE_MAX);
	}
	if (snprintf(line_next, sizeof(line_next), "%skmho.stage=%d", line_now, stage + 1) >=
	    (int)sizeof(line_next))
		fail("the next kernel's command line is longer than %d bytes", CMDLINE_MAX);
	err = kexec_load_files(image, strcmp(ramdisk, "-") ? initrd : NULL, line_next, &what);
	if (err)
		refused("%s: %s", what, strerror(-err));
	ev_begin("load", stage);
	ev_str("image", name);
	ev_num("ms", now_ms() - start);
	ev_end();
}

/* From here to "Starting new kernel" is what this kernel has left to do. */
static void mark_klog(void)
{
	static const char mark[] = "<6>kmho-init: leaving\n";
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, mark, sizeof(mark) - 1) < 0)
		say("/dev/kmsg: %s", strerror(errno));
	close(fd);
}

static void go_kexec(void)
{
	const char *what;
	int err;

	scan_for_leaks();
	report_klog();
	ev_begin("kexec", stage);
	ev_end();
	await_host();
	sync();
	ev_begin("leave", stage);
	ev_num("ticks", machine_ticks());
	ev_end();
	mark_klog();
	err = kexec_now(&what);
	refused("%s: %s; was an image loaded?", what, strerror(-err));
}

static void shell(char *line)
{
	char *argv[] = { "/bin/sh", "-i", NULL };
	char *env[] = { "PS1=kmho:\\w\\$ ", "TERM=xterm", NULL };
	struct step step = { .stage = stage, .argv = argv, .env = env, .in_root = true };
	char *consoles = read_word("/sys/class/tty/console/active"), tty[64];
	const char *size = parameter("kmho.tty"), *name = strrchr(consoles, ' ');
	struct process *p;

	step.uid = next_number(&line);
	snprintf(step.name, sizeof(step.name), "shell");
	if (!has_root)
		fail("a shell needs the root disk, and there is none");
	snprintf(tty, sizeof(tty), "/dev/%s", name ? name + 1 : consoles);
	if (size) {
		struct winsize window = { 0 };
		int fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);

		if (sscanf(size, "%hux%hu", &window.ws_row, &window.ws_col) == 2 && fd >= 0)
			ioctl(fd, TIOCSWINSZ, &window);
		if (fd >= 0)
			close(fd);
	}
	p = process_start_shell(&step, tty);
	free(consoles);
	/* What the last command in the shell answered is no verdict */
	await_end(p, true);
}

static void remember_env(char *line)
{
	if (next.nr_env == MAX_ENV)
		fail("a step has more than %d variables", MAX_ENV);
	next.env[next.nr_env++] = unescape(line);
}

static bool do_line(char *line)
{
	char *verb = next_word(&line);

	if (!strcmp(verb, "env")) {
		remember_env(line);
	} else if (!strcmp(verb, "cwd")) {
		next.cwd = unescape(line);
	} else if (!strcmp(verb, "timeout")) {
		next.timeout_ms = next_number(&line);
	} else if (!strcmp(verb, "stdin")) {
		next.want_stdin = true;
	} else if (!strcmp(verb, "run") || !strcmp(verb, "run?")) {
		await_end(start_step(line), verb[3] == '?');
	} else if (!strcmp(verb, "start")) {
		await_ready(start_step(line));
	} else if (!strcmp(verb, "wait") || !strcmp(verb, "wait?")) {
		await_end(named(&line), verb[4] == '?');
	} else if (!strcmp(verb, "signal")) {
		int number = next_number(&line);

		process_kill(named(&line), number);
	} else if (!strcmp(verb, "shell")) {
		shell(line);
	} else if (!strcmp(verb, "swapon")) {
		char *device = next_word(&line);

		if (swapon(device, 0))
			refused("swapon %s: %s", device, strerror(errno));
	} else if (!strcmp(verb, "sync")) {
		ev_begin("sync", stage);
		ev_str("name", next_word(&line));
		ev_end();
		await_host();
	} else if (!strcmp(verb, "load")) {
		load(line);
	} else if (!strcmp(verb, "kexec")) {
		go_kexec();
	} else if (!strcmp(verb, "poweroff")) {
		return false;
	} else {
		fail("the job says `%s`, which this /init does not know", verb);
	}
	return true;
}

static void do_job(char *text)
{
	int here = 0;
	bool found = false;

	if (strncmp(text, "kmho-job 1\n", 11))
		fail("the job does not start with `kmho-job 1`");
	for (char *line = text + 11, *end; *line; line = end) {
		end = line + strcspn(line, "\n");
		if (*end)
			*end++ = '\0';
		if (!*line)
			continue;
		if (!strncmp(line, "stage ", 6)) {
			here = atoi(line + 6);
			found = found || here == stage;
		} else if (here == stage && !do_line(line)) {
			return;
		}
	}
	if (!found)
		fail("the job has no stage %d", stage);
}

int main(void)
{
	const char *problem, *value;
	char *job = NULL;

	/* The kernel opened the console for us, unless it has none. */
	problem = mount_system();
	if (open("/dev/console", O_RDWR | O_NOCTTY) > STDERR_FILENO)
		close(STDERR_FILENO + 1);
	process_init();
	value = read_word("/proc/cmdline");
	snprintf(cmdline, sizeof(cmdline), "%s", value);
	value = parameter("kmho.stage");
	if (value && atoi(value) > 0)
		stage = atoi(value);
	if (!report_open())
		say("there is no port org.kmho.events");
	report_boot();
	if (problem)
		fail("%s", problem);
	kmsg_fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	sethostname("kmho", 4);
	loopback_up();
	if (parameter("kmho.share")) {
		problem = mount_share();
		if (problem)
			fail("%s", problem);
		has_share = true;
	}
	if (parameter("kmho.root")) {
		problem = mount_root();
		if (problem)
			fail("%s", problem);
		has_root = true;
	}
	report_klog();
	/* An initramfs may carry its job in itself. */
	if (has_share)
		job = read_file(SHARE "/job", NULL);
	if (!job)
		job = read_file("/job", NULL);
	if (job)
		do_job(job);
	else if (has_share)
		fail("there is no file `job` on the share");
	else if (stage > 1)
		fail("the kernel before had a job, and kmho.share is not on this one's command line");
	finish(0);
}
