// SPDX-License-Identifier: MIT
// The events port: finding it, writing JSON to it, reading lines from it. Refuses to lose an event: where the host
// is slow it waits, and only a host that never listens is given up, with a word on the console.

#define _GNU_SOURCE
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PORT_NAME "org.kmho.events"
#define GO_LINE "{\"kmho\":\"go\"}"
/* The driver learns of its ports from QEMU after it was probed. */
#define PORT_APPEARS_MS 30000
/* A host that has not connected by then is not there (somebody runs QEMU by hand). */
#define HOST_CONNECTS_MS 10000

static int port = -1;
static bool host_seen;

static char *out;
static size_t out_len, out_room;

static char *in;
static size_t in_len, in_room;

int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void say(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	dprintf(STDERR_FILENO, "kmho-init: ");
	vdprintf(STDERR_FILENO, fmt, args);
	dprintf(STDERR_FILENO, "\n");
	va_end(args);
}

static void nap_ms(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static bool port_path(char *path, size_t room)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	bool found = false;

	if (!dir)
		return false;
	while (!found && (entry = readdir(dir))) {
		char name[300], text[64];
		ssize_t len;
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "/sys/class/virtio-ports/%s/name",
			 entry->d_name);
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (len <= 0)
			continue;
		text[len] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (!strcmp(text, PORT_NAME)) {
			snprintf(path, room, "/dev/%s", entry->d_name);
			found = true;
		}
	}
	closedir(dir);
	return found;
}

bool report_open(void)
{
	int64_t until = now_ms() + PORT_APPEARS_MS;
	char path[300];

	do {
		if (port_path(path, sizeof(path))) {
			port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
			if (port >= 0)
				return true;
		}
		nap_ms(10);
	} while (now_ms() < until);
	return false;
}

int report_fd(void)
{
	return port;
}

static void port_write(const char *data, size_t len)
{
	int64_t until = now_ms() + HOST_CONNECTS_MS;

	while (len && port >= 0) {
		ssize_t n = write(port, data, len);

		if (n > 0) {
			host_seen = true;
			data += n;
			len -= n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR && errno != EPIPE) {
			say("the events port failed: %s", strerror(errno));
			port = -1;
			return;
		}
		/*
		 * Without a host, poll(2) answers POLLHUP at once: it is no way
		 * to wait for one.
		 */
		if (!host_seen && now_ms() > until) {
			say("nobody listens on " PORT_NAME ", going on without");
			port = -1;
			return;
		}
		nap_ms(2);
	}
}

static void put(const char *data, size_t len)
{
	if (out_len + len > out_room) {
		size_t room = (out_len + len) * 2 + 256;
		char *grown = realloc(out, room);

		if (!grown) {
			say("no memory for an event");
			return;
		}
		out = grown;
		out_room = room;
	}
	memcpy(out + out_len, data, len);
	out_len += len;
}

static void puts_raw(const char *text)
{
	put(text, strlen(text));
}

/* Length of the UTF-8 sequence at @s, 0 where there is none. */
static size_t utf8_length(const unsigned char *s, size_t left)
{
	size_t len, i;
	unsigned int code;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		len = 2;
		code = s[0] & 0x1f;
	} else if ((s[0] & 0xf0) == 0xe0) {
		len = 3;
		code = s[0] & 0x0f;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		len = 4;
		code = s[0] & 0x07;
	} else {
		return 0;
	}
	if (left < len)
		return 0;
	for (i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if ((len == 3 && (code < 0x800 || (code >= 0xd800 && code <= 0xdfff))) ||
	    (len == 4 && (code < 0x10000 || code > 0x10ffff)))
		return 0;
	return len;
}

/* A byte that is not UTF-8 becomes the code point of the same number. */
static void put_quoted(const char *value, size_t len)
{
	const unsigned char *s = (const unsigned char *)value;

	puts_raw("\"");
	while (len) {
		size_t n = utf8_length(s, len);

		if (n == 0 || s[0] < 0x20 || s[0] == 0x7f) {
			char escape[8];

			snprintf(escape, sizeof(escape), "\\u%04x", s[0]);
			puts_raw(escape);
			n = 1;
		} else {
			if (s[0] == '"' || s[0] == '\\')
				puts_raw("\\");
			put((const char *)s, n);
		}
		s += n;
		len -= n;
	}
	puts_raw("\"");
}

static void put_field(const char *field)
{
	puts_raw(",\"");
	puts_raw(field);
	puts_raw("\":");
}

void ev_begin(const char *event, int stage)
{
	out_len = 0;
	puts_raw("{\"event\":");
	put_quoted(event, strlen(event));
	ev_num("stage", stage);
}

void ev_bytes(const char *field, const char *value, size_t len)
{
	put_field(field);
	put_quoted(value, len);
}

void ev_str(const char *field, const char *value)
{
	ev_bytes(field, value, strlen(value));
}

void ev_num(const char *field, int64_t value)
{
	char text[32];

	put_field(field);
	snprintf(text, sizeof(text), "%lld", (long long)value);
	puts_raw(text);
}

void ev_bool(const char *field, bool value)
{
	put_field(field);
	puts_raw(value ? "true" : "false");
}

void ev_strv(const char *field, char *const *values)
{
	put_field(field);
	puts_raw("[");
	for (size_t i = 0; values[i]; i++) {
		if (i)
			puts_raw(",");
		put_quoted(values[i], strlen(values[i]));
	}
	puts_raw("]");
}

void ev_raw(const char *field, const char *json, size_t len)
{
	put_field(field);
	put(json, len);
}

void ev_end(void)
{
	puts_raw("}\n");
	port_write(out, out_len);
}

bool report_read(void (*line)(const char *text, size_t len))
{
	bool go = false;
	char *end;

	if (port < 0)
		return false;
	for (;;) {
		ssize_t n;

		if (in_room - in_len < 4096) {
			char *grown = realloc(in, in_room + 65536);

			if (!grown)
				break;
			in = grown;
			in_room += 65536;
		}
		n = read(port, in + in_len, in_room - in_len);
		if (n <= 0)
			break;
		in_len += n;
	}
	while (in_len && (end = memchr(in, '\n', in_len))) {
		size_t len = end - in;

		if (len == strlen(GO_LINE) && !memcmp(in, GO_LINE, len))
			go = true;
		else
			line(in, len);
		in_len -= len + 1;
		memmove(in, end + 1, in_len);
	}
	return go;
}
