// SPDX-License-Identifier: GPL-2.0-only
/*
 * Something is wrong with what crosses the kexec: the record is refused and named in
 * the log, the others are whole, and its key is free. Where it is wrong with all of
 * it, nothing is believed, and the boot goes on.
 *
 * Provokes: kmho: ((record with key 0x\S+ of uid \d+|object \d+) refused|.*the last kernel)
 */
#include <sys/klog.h>

#include "kmho_test.h"

#define NR	64UL
#define SEED(n)	(0xda3aULL + (n))
#define DEBUG	"/sys/kernel/debug/kmho/"

/* As in mm/kmho/internal.h */
enum kmho_spoil {
	KMHO_SPOIL_NOTHING,
	KMHO_SPOIL_BIT,
	KMHO_SPOIL_CRC,
	KMHO_SPOIL_UID,
	KMHO_SPOIL_COUNT,
	KMHO_SPOIL_AREA,
	KMHO_SPOIL_EXTENT,
	KMHO_SPOIL_TWICE,
	KMHO_NR_SPOILS,
};

static void write_debug(const char *name, unsigned long value)
{
	char path[64], text[32];

	snprintf(path, sizeof(path), DEBUG "%s", name);
	snprintf(text, sizeof(text), "%lu", value);
	if (!kt_write_file(path, text))
		kt_skip("no %s (CONFIG_KMHO_DEBUG)", path);
}

static void spoil(unsigned long key, enum kmho_spoil how)
{
	write_debug("spoil_how", how);
	write_debug("spoil", key);
}

static bool log_says(const char *what)
{
	static char log[1 << 20];
	int len = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);

	must(len > 0);
	log[len] = '\0';
	return strstr(log, what);
}

static void damage_before(void)
{
	unsigned long n;

	kt_need_root();
	for (n = 0; n < 4; n++)
		kt_give(kt_key(n), kt_addr(n), NR, SEED(n));
	spoil(kt_key(1), KMHO_SPOIL_BIT);
	spoil(kt_key(3), KMHO_SPOIL_BIT);
	/* nothing is seen of it in this kernel */
	for (n = 0; n < 4; n++)
		must(kt_exists(kt_key(n)));
}

static void damage_after(void)
{
	unsigned long n, remap = 0;
	char text[64];

	for (n = 1; n < 4; n += 2) {
		snprintf(text, sizeof(text), "key %#lx of uid 0 refused", kt_key(n));
		must(log_says(text));
		must(!kt_exists(kt_key(n)));
		must_fail(ENOENT, kt_takeover_to(kt_key(n), kt_addr(n), NR, &remap));
		must_fail(ENOENT, kt_drop(kt_key(n)));
	}
	kt_take(kt_key(0), kt_addr(0), NR, SEED(0));
	kt_take(kt_key(2), kt_addr(2), NR, SEED(2));
	/* the key is free: the right call made now succeeds */
	kt_give(kt_key(1), kt_addr(1), NR, SEED(5));
	kt_take(kt_key(1), kt_addr(1), NR, SEED(5));
}

/* ---- shared memory: what several records name is whole, or is none of theirs ---- */

#define FIRST	8UL
#define LAST	10UL

struct shared {
	unsigned long n;
	int good;
	int bad;
};

static void do_give_shared(void *arg)
{
	struct shared *s = arg;
	unsigned long base = kt_addr(s->n);
	struct kmho_range_handover ranges[2] = {
		{ base, NR * kt_page },
		{ base + 2 * NR * kt_page, NR * kt_page },
	};
	struct kmho_op_handover op = { kt_key(s->n), s->bad < 0 ? 1 : 2, ranges };

	kt_map_shared(base, NR, s->good);
	kt_fill(base, 0, NR, SEED(FIRST));
	if (s->bad >= 0) {
		kt_map_shared(ranges[1].base, NR, s->bad);
		kt_fill(ranges[1].base, 0, NR, SEED(FIRST));
	}
	must(!kmho(KMHO_HANDOVER, &op));
}

/* Records before and behind the sound one name what is damaged */
static void object_before(void)
{
	struct shared s = { .good = memfd_create("good", 0) };
	int bad = memfd_create("bad", 0);

	kt_need_root();
	must(s.good >= 0 && bad >= 0);
	must(!ftruncate(s.good, NR * kt_page) && !ftruncate(bad, NR * kt_page));
	for (s.n = FIRST; s.n <= LAST; s.n++) {
		s.bad = s.n == FIRST || s.n == LAST ? bad : -1;
		kt_run(do_give_shared, &s);
	}
	spoil(kt_key(FIRST), KMHO_SPOIL_BIT);
}

static void object_after(void)
{
	struct kmho_record_info info;
	unsigned long n;

	must(log_says("object"));
	for (n = FIRST; n <= LAST; n += LAST - FIRST)
		must(!kt_exists(kt_key(n)));
	must(!kt_info(kt_key(FIRST + 1), &info));
	must(info.present == NR * kt_page);
	kt_take(kt_key(FIRST + 1), kt_addr(FIRST + 1), NR, SEED(FIRST));
}

/* ---- what the checksums do not know of ---- */

#define KINDS	16UL	/* a record for each kind of damage */

static void kinds_before(void)
{
	unsigned long how;

	kt_need_root();
	for (how = 0; how < KMHO_NR_SPOILS; how++) {
		kt_give(kt_key(KINDS + how), kt_addr(KINDS + how), NR, SEED(KINDS + how));
		spoil(kt_key(KINDS + how), how);
	}
}

static void kinds_after(void)
{
	unsigned long how, remap = 0;
	char text[64];

	for (how = 0; how < KMHO_NR_SPOILS; how++) {
		unsigned long key = kt_key(KINDS + how), base = kt_addr(KINDS + how);
		bool sound = how == KMHO_SPOIL_NOTHING || how == KMHO_SPOIL_TWICE;

		snprintf(text, sizeof(text), "key %#lx of uid %u refused", key,
			 how == KMHO_SPOIL_UID ? -1U : 0);
		must(log_says(text) == (how != KMHO_SPOIL_NOTHING));
		must(kt_exists(key) == sound);
		if (!sound) {
			must_fail(ENOENT, kt_takeover_to(key, base, NR, &remap));
			/* the key is free */
			kt_give(key, base, NR, SEED(KINDS + how));
		}
		kt_take(key, base, NR, SEED(KINDS + how));
		must(!kt_exists(key));
	}
}

/* ---- nothing is sound ---- */

#define LEFT	32UL

static void root_after(void)
{
	kt_need_root();
	kt_give(kt_key(LEFT), kt_addr(LEFT), NR, SEED(LEFT));
	write_debug("version", 0);
	must(kt_exists(kt_key(LEFT)));
}

static void root_again(void)
{
	unsigned long remap = 0;

	must(log_says("what the last kernel left is damaged"));
	must(!kt_exists(kt_key(LEFT)));
	must_fail(ENOENT, kt_takeover_to(kt_key(LEFT), kt_addr(LEFT), NR, &remap));
	kt_give(kt_key(LEFT), kt_addr(LEFT), NR, SEED(LEFT + 1));
	kt_take(kt_key(LEFT), kt_addr(LEFT), NR, SEED(LEFT + 1));
}

static const struct kt_case cases[] = {
	{
		"a record with a flipped bit is refused, the others are whole",
		.before = damage_before,
		.after = damage_after,
	},
	{
		"shared memory with a flipped bit is refused, what lies beside it is whole",
		.before = object_before,
		.after = object_after,
	},
	{
		"what has the right checksums is still looked at before it is believed",
		.before = kinds_before,
		.after = kinds_after,
	},
	{
		"where all of it is damaged nothing is believed, and the boot goes on",
		.after = root_after,
		.again = root_again,
	},
};

int main(int argc, char **argv)
{
	kt_program = 0x32;
	return kt_main(argc, argv, cases, ARRAY_SIZE(cases));
}
