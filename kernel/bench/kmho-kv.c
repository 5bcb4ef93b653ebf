// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small key-value service, asked from outside the guest over the virtio-serial
 * port org.kmho.kv, in the kernel before a kexec and in the one after it:
 *
 *	kmho-kv before|after --with none|kmho|luo|disk --bytes N
 *
 * A question is a line `SEQUENCE SLOT`, the answer `SEQUENCE VALUE SIDE`. The
 * table is computed in the first kernel. The second one has it from the memory
 * that was handed over; from the disk /dev/vdb, which it reads from end to end
 * first; or, with `none`, computes each answer: the floor, as nothing is carried.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kmho.h>
#include <linux/liveupdate.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BASE	0x100000000000UL
#define KEY	0x6b76
#define DISK	"/dev/vdb"
#define PORT	"org.kmho.kv"
#define SESSION	"kv"
#define CHUNK	(1UL << 20)

static unsigned long bytes;
static uint64_t *table;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "kmho-kv: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t value_of(unsigned long slot)
{
	return (slot + 1) * 0x9e3779b97f4a7c15ULL;
}

static void map_table(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;

	table = mmap((void *)BASE, bytes, PROT_READ | PROT_WRITE,
		     flags | MAP_FIXED_NOREPLACE | MAP_NORESERVE, fd, 0);
	if (table != (void *)BASE)
		die("mmap");
}

static void compute_table(void)
{
	for (unsigned long slot = 0; slot < bytes / 8; slot++)
		table[slot] = value_of(slot);
}

static void kmho_before(void)
{
	struct kmho_range_handover range = { .base = BASE, .length = bytes };
	struct kmho_op_handover op = {
		.key = KEY, .num_ranges = 1, .ranges = &range,
	};

	map_table(-1);
	compute_table();
	if (syscall(__NR_kmho, KMHO_HANDOVER, &op))
		die("HANDOVER");
}

static void kmho_after(void)
{
	struct kmho_range_takeover range = {
		.base = BASE, .len = bytes, .remap_addr = BASE,
	};
	struct kmho_op_takeover op = {
		.key = KEY, .num_ranges = 1, .ranges = &range,
	};

	if (syscall(__NR_kmho, KMHO_TAKEOVER, &op))
		die("TAKEOVER");
	table = (uint64_t *)BASE;
}

static int open_luo(void)
{
	int fd = open("/dev/liveupdate", O_RDWR);

	if (fd < 0)
		die("/dev/liveupdate");
	return fd;
}

static void luo_before(void)
{
	struct liveupdate_ioctl_create_session session = {
		.size = sizeof(session), .name = SESSION,
	};
	struct liveupdate_session_preserve_fd preserve = {
		.size = sizeof(preserve), .token = KEY,
	};

	preserve.fd = memfd_create("kv", 0);
	if (preserve.fd < 0 || ftruncate(preserve.fd, bytes))
		die("memfd");
	map_table(preserve.fd);
	compute_table();
	if (ioctl(open_luo(), LIVEUPDATE_IOCTL_CREATE_SESSION, &session) ||
	    ioctl(session.fd, LIVEUPDATE_SESSION_PRESERVE_FD, &preserve))
		die("LUO");
}

static void luo_after(void)
{
	struct liveupdate_ioctl_retrieve_session session = {
		.size = sizeof(session), .name = SESSION,
	};
	struct liveupdate_session_retrieve_fd retrieve = {
		.size = sizeof(retrieve), .token = KEY,
	};

	if (ioctl(open_luo(), LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &session) ||
	    ioctl(session.fd, LIVEUPDATE_SESSION_RETRIEVE_FD, &retrieve))
		die("LUO");
	map_table(retrieve.fd);
}

static void disk_transfer(int flags)
{
	int fd = open(DISK, flags);

	if (fd < 0)
		die(DISK);
	for (unsigned long at = 0; at < bytes;) {
		char *where = (char *)table + at;
		ssize_t n = flags == O_RDONLY ? read(fd, where, CHUNK) :
						write(fd, where, CHUNK);

		if (n <= 0)
			die(DISK);
		at += n;
	}
	if (flags != O_RDONLY && fsync(fd))
		die(DISK);
	close(fd);
}

static void disk_before(void)
{
	map_table(-1);
	compute_table();
	disk_transfer(O_WRONLY);
}

static void disk_after(void)
{
	map_table(-1);
	disk_transfer(O_RDONLY);
}

static const struct way {
	const char *name;
	void (*before)(void);
	void (*after)(void);
} ways[] = {
	{ "none", NULL, NULL },
	{ "kmho", kmho_before, kmho_after },
	{ "luo", luo_before, luo_after },
	{ "disk", disk_before, disk_after },
};

static FILE *open_port(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	char path[512], name[64] = "";

	while (dir && (entry = readdir(dir))) {
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name",
			 entry->d_name);
		f = fopen(path, "r");
		if (f && !fgets(name, sizeof(name), f))
			name[0] = '\0';
		if (f)
			fclose(f);
		name[strcspn(name, "\n")] = '\0';
		if (!strcmp(name, PORT)) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			closedir(dir);
			return fopen(path, "r+");
		}
	}
	errno = ENOENT;
	return NULL;
}

static void serve(const char *side)
{
	FILE *port = open_port();
	char line[128];

	if (!port)
		die(PORT);
	setvbuf(port, NULL, _IONBF, 0);
	printf("@kmho-ready\n");
	fflush(stdout);
	for (;;) {
		unsigned long sequence, slot;
		uint64_t value;
		char answer[128];

		if (!fgets(line, sizeof(line), port)) {
			/* Nobody is at the other end yet. */
			clearerr(port);
			usleep(1000);
			continue;
		}
		/* The rest of a question to the last kernel is none. */
		if (sscanf(line, "%lu %lu", &sequence, &slot) != 2 ||
		    slot >= bytes / 8)
			continue;
		value = table ? table[slot] : value_of(slot);
		snprintf(answer, sizeof(answer), "%lu %llu %s\n", sequence,
			 (unsigned long long)value, side);
		if (write(fileno(port), answer, strlen(answer)) < 0)
			die(PORT);
	}
}

int main(int argc, char **argv)
{
	char *end = "";

	if (argc == 6 && !strcmp(argv[2], "--with") &&
	    !strcmp(argv[4], "--bytes"))
		bytes = strtoul(argv[5], &end, 10);
	for (size_t i = 0; bytes && !*end && i < sizeof(ways) / sizeof(ways[0]); i++) {
		void (*prepare)(void) = !strcmp(argv[1], "before") ?
					ways[i].before : ways[i].after;

		if (strcmp(argv[3], ways[i].name))
			continue;
		if (prepare)
			prepare();
		serve(argv[1]);
	}
	fprintf(stderr, "usage: kmho-kv before|after --with none|kmho|luo|disk --bytes N\n");
	return 2;
}
