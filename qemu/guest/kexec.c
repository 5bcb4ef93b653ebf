// SPDX-License-Identifier: MIT
// kmho-kexec: for a step that wants to load a kernel, or to go there, by itself. The job's own `load` and `kexec`
// lines do not need it.
//
//   kmho-kexec --load IMAGE INITRD|- CMDLINE
//   kmho-kexec --exec

#include <stdio.h>
#include <string.h>

#include "kexec-load.h"

int main(int argc, char **argv)
{
	const char *what;
	int err;

	if (argc == 5 && !strcmp(argv[1], "--load")) {
		err = kexec_load_files(argv[2], strcmp(argv[3], "-") ? argv[3] : NULL,
				       argv[4], &what);
	} else if (argc == 2 && !strcmp(argv[1], "--exec")) {
		err = kexec_now(&what);
	} else {
		fprintf(stderr, "usage: kmho-kexec --load IMAGE INITRD|- CMDLINE\n"
				"       kmho-kexec --exec\n");
		return 2;
	}
	if (err) {
		fprintf(stderr, "kmho-kexec: %s: %s\n", what, strerror(-err));
		return 1;
	}
	return 0;
}
