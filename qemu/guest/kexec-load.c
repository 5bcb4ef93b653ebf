// SPDX-License-Identifier: MIT
// Loads a kernel with kexec_file_load(2) and goes there. The older kexec_load(2) is not used: what it loads carries
// no handed-over memory.

#define _GNU_SOURCE
#include "kexec-load.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int kexec_load_files(const char *image, const char *initrd, const char *cmdline,
		     const char **what)
{
	unsigned long flags = 0;
	int image_fd, initrd_fd = -1, err = 0;

	*what = image;
	image_fd = open(image, O_RDONLY | O_CLOEXEC);
	if (image_fd < 0)
		return -errno;
	if (initrd) {
		*what = initrd;
		initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
		if (initrd_fd < 0) {
			err = -errno;
			goto close_image;
		}
	} else {
		flags |= KEXEC_FILE_NO_INITRAMFS;
	}
	*what = "kexec_file_load";
	if (syscall(SYS_kexec_file_load, image_fd, initrd_fd, strlen(cmdline) + 1,
		    cmdline, flags))
		err = -errno;
	if (initrd_fd >= 0)
		close(initrd_fd);
close_image:
	close(image_fd);
	return err;
}

int kexec_now(const char **what)
{
	sync();
	*what = "reboot";
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		LINUX_REBOOT_CMD_KEXEC, NULL);
	return -errno;
}
