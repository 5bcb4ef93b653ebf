// SPDX-License-Identifier: MIT
// Mounts. Kernel file systems that a configuration may lack (debugfs, cgroup2) are passed over; the share and the
// root disk are what the command line promised, and their absence is an error.

#define _GNU_SOURCE
#include "mounts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ROOT_LABEL "kmho-root"
/* ext4's superblock, and its volume name in there */
#define EXT4_LABEL_OFFSET (1024 + 0x78)

static char problem[512];

static const char *wrong(const char *what)
{
	snprintf(problem, sizeof(problem), "%s: %s", what, strerror(errno));
	return problem;
}

const char *mount_system(void)
{
	static const struct {
		const char *type, *on, *options;
		unsigned long flags;
		int needed;
	} table[] = {
		{ "proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 1 },
		{ "sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC, 1 },
		{ "devtmpfs", "/dev", "mode=0755", MS_NOSUID, 1 },
		{ "devpts", "/dev/pts", "gid=5,mode=0620,ptmxmode=0666", 0, 0 },
		{ "tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV, 0 },
		{ "tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV, 1 },
		{ "debugfs", "/sys/kernel/debug", NULL, 0, 0 },
		{ "cgroup2", "/sys/fs/cgroup", NULL, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mkdir(table[i].on, 0755);
		/* EBUSY: CONFIG_DEVTMPFS_MOUNT was there before us */
		if (mount(table[i].type, table[i].on, table[i].type,
			  table[i].flags, table[i].options) &&
		    errno != EBUSY && table[i].needed) {
			static char what[64];

			snprintf(what, sizeof(what), "mount %s", table[i].type);
			return wrong(what);
		}
	}
	/* What devtmpfs leaves to a udev that is not here */
	symlink("/proc/self/fd", "/dev/fd");
	symlink("/proc/self/fd/0", "/dev/stdin");
	symlink("/proc/self/fd/1", "/dev/stdout");
	symlink("/proc/self/fd/2", "/dev/stderr");
	return NULL;
}

const char *mount_share(void)
{
	mkdir(SHARE, 0755);
	if (mount("run", SHARE, "9p", MS_NOSUID | MS_NODEV,
		  "trans=virtio,version=9p2000.L,msize=512000,cache=none"))
		return wrong("mount the 9p share `run`");
	mkdir(SHARE "/out", 0755);
	return NULL;
}

static int has_label(const char *device)
{
	char label[16] = "";
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = pread(fd, label, sizeof(label), EXT4_LABEL_OFFSET);
	close(fd);
	return n == sizeof(label) && !strncmp(label, ROOT_LABEL, sizeof(label));
}

static int find_root(char *device, size_t room)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	int found = 0;

	if (!dir)
		return 0;
	while (!found && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, "vd", 2))
			continue;
		snprintf(device, room, "/dev/%s", entry->d_name);
		found = has_label(device);
	}
	closedir(dir);
	return found;
}

const char *mount_root(void)
{
	static const char *const below[] = { "/proc", "/sys", "/dev", SHARE, "/tmp" };
	char device[300], target[300];

	if (!find_root(device, sizeof(device)))
		return "no disk labelled " ROOT_LABEL " is attached";
	mkdir(NEW_ROOT, 0755);
	if (mount(device, NEW_ROOT, "ext4", MS_RDONLY | MS_NOSUID | MS_NODEV, NULL))
		return wrong("mount the root disk");
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		snprintf(target, sizeof(target), NEW_ROOT "%s", below[i]);
		if (mount(below[i], target, NULL, MS_BIND | MS_REC, NULL))
			return wrong(target);
	}
	/* An image without the place for it has no use for it. */
	mount("/kexec", NEW_ROOT "/usr/sbin/kmho-kexec", NULL, MS_BIND, NULL);
	return NULL;
}

int enter_root(void)
{
	return unshare(CLONE_NEWNS) || chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) ||
	       chroot(".") || chdir("/");
}
