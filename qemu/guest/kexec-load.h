/* SPDX-License-Identifier: MIT */
/*
 * kexec_file_load(2) and the reboot into what it loaded. Both answer 0 or
 * -errno, and *@what then names the call or the file that failed.
 */
#ifndef KMHO_GUEST_KEXEC_LOAD_H
#define KMHO_GUEST_KEXEC_LOAD_H

/* @initrd may be NULL */
int kexec_load_files(const char *image, const char *initrd, const char *cmdline,
		     const char **what);
/* Returns only when it failed. */
int kexec_now(const char **what);

#endif
