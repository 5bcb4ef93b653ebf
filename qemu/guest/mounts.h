/* SPDX-License-Identifier: MIT */
/*
 * What the guest's programs find mounted. Functions answer NULL, or a sentence
 * saying what is missing.
 */
#ifndef KMHO_GUEST_MOUNTS_H
#define KMHO_GUEST_MOUNTS_H

#define NEW_ROOT "/newroot"
#define SHARE "/run"

/* /proc, /sys, /dev and what lies below them */
const char *mount_system(void);
/* The host's folder, on /run */
const char *mount_share(void);
/* The disk labelled kmho-root, on /newroot, with all of the above below it */
const char *mount_root(void);
/*
 * Makes that disk this process's root, in a mount namespace of its own; 0, or -1 and errno. A
 * plain chroot would not do: from within one nobody may make a user namespace.
 */
int enter_root(void);

#endif
