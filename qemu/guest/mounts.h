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

#endif
