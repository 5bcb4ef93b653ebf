/* SPDX-License-Identifier: MIT */
/*
 * The guest's word to the host: newline-terminated JSON on the virtio-serial
 * port org.kmho.events, and the host's lines back. qemu/src/events.ts is the
 * other end.
 */
#ifndef KMHO_GUEST_REPORT_H
#define KMHO_GUEST_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds of CLOCK_BOOTTIME */
int64_t now_ms(void);

/* Says something on the console, for a person who debugs this program. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Opens the port; false when there is none. */
bool report_open(void);
/* The port, for poll(2); -1 when nobody listens. */
int report_fd(void);

/* One event: begin, fields, end. It is sent whole by ev_end(). */
void ev_begin(const char *event, int stage);
void ev_str(const char *field, const char *value);
void ev_bytes(const char *field, const char *value, size_t len);
void ev_num(const char *field, int64_t value);
void ev_bool(const char *field, bool value);
void ev_strv(const char *field, char *const *values);
/* @json is taken as it is: whether it is JSON is judged by the host */
void ev_raw(const char *field, const char *json, size_t len);
void ev_end(void);

/*
 * Takes in what the host sent. Lines other than "go" are given to @line; true
 * when a "go" was among them.
 */
bool report_read(void (*line)(const char *text, size_t len));

#endif
