// SPDX-License-Identifier: MIT
/*
 * A plugin for QEMU's emulator: how often each block of guest code ran between
 * the first time that one address ran and the next time that another did.
 *
 *     -plugin FILE.so,start=0xADDRESS,stop=0xADDRESS,out=FILE
 *
 * FILE gets a line `ADDRESS INSTRUCTIONS RUNS` for each block, in hexadecimal
 * and twice in decimal; none when the two addresses did not both run. For one
 * host thread (-icount, or -accel tcg,thread=single).
 *
 * Debian has no package with qemu-plugin.h, so the few calls are declared here;
 * they are those of version 1 of the interface, which later ones still have.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_tb;
struct qemu_info_t;

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*cb)(uint64_t id,
					   struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int cpu, void *arg),
					  int flags, void *arg);
void qemu_plugin_register_atexit_cb(uint64_t id, void (*cb)(uint64_t id, void *arg),
				    void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct block {
	uint64_t address;
	uint64_t instructions;
	uint64_t runs;
	struct block *next;
};

#define BUCKETS	65536

static struct block *blocks[BUCKETS];
static uint64_t start_address, stop_address;
static enum { WAITING, COUNTING, DONE } state;
static char *out;

static void on_run(unsigned int cpu, void *arg)
{
	struct block *block = arg;

	(void)cpu;
	if (block->address == start_address && state == WAITING)
		state = COUNTING;
	else if (block->address == stop_address && state == COUNTING)
		state = DONE;
	if (state == COUNTING)
		block->runs++;
}

/* The same code is translated again and again: after a flush, at another length */
static struct block *find_block(uint64_t address, uint64_t instructions)
{
	struct block **bucket = &blocks[(address >> 1) % BUCKETS], *block;

	for (block = *bucket; block; block = block->next)
		if (block->address == address && block->instructions == instructions)
			return block;

	block = calloc(1, sizeof(*block));
	if (!block)
		abort();
	block->address = address;
	block->instructions = instructions;
	block->next = *bucket;
	*bucket = block;
	return block;
}

static void on_translation(uint64_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, on_run,
					     0 /* it reads no registers */,
					     find_block(qemu_plugin_tb_vaddr(tb),
							qemu_plugin_tb_n_insns(tb)));
}

static void write_out(uint64_t id, void *arg)
{
	FILE *file = fopen(out, "w");
	unsigned int i;

	(void)id;
	(void)arg;
	if (!file) {
		perror(out);
		return;
	}
	for (i = 0; state == DONE && i < BUCKETS; i++)
		for (struct block *block = blocks[i]; block; block = block->next)
			if (block->runs)
				fprintf(file, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n",
					block->address, block->instructions, block->runs);
	fclose(file);
}

__attribute__((visibility("default")))
int qemu_plugin_install(uint64_t id, const struct qemu_info_t *info, int argc, char **argv)
{
	int i;

	(void)info;
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "start=", 6))
			start_address = strtoull(argv[i] + 6, NULL, 16);
		else if (!strncmp(argv[i], "stop=", 5))
			stop_address = strtoull(argv[i] + 5, NULL, 16);
		else if (!strncmp(argv[i], "out=", 4))
			out = strdup(argv[i] + 4);
	}
	if (!start_address || !stop_address || !out) {
		fprintf(stderr, "profile: expected start=ADDRESS,stop=ADDRESS,out=FILE\n");
		return 1;
	}

	qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
	qemu_plugin_register_atexit_cb(id, write_out, NULL);
	return 0;
}
