/* orbital_window ORBITAL X Y WIDTH HEIGHT TITLE: a window, by open, mmap, write and read alone.

   The upper half is drawn in mapped memory, a gradient; the title is changed by a command. Prints
   "shown", then each event as "code a b" until it has read QUIT or its standard input ends. */

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	char path[4096];
	if (argc != 7)
		return 2;
	int width = atoi(argv[4]), height = atoi(argv[5]);
	size_t size = (size_t)width * height * 4;

	snprintf(path, sizeof path, "%s/l/%s/%s/%d/%d/%s", argv[1], argv[2], argv[3], width, height,
		 argv[6]);
	int window = open(path, O_RDWR);
	if (window < 0)
		return fail(path);
	snprintf(path, sizeof path, "%s/own/last.bgra", argv[1]);
	int pixels = open(path, O_RDWR);
	if (pixels < 0)
		return fail(path);
	uint32_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, pixels, 0);
	if (memory == MAP_FAILED)
		return fail("mmap");
	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			memory[y * width + x] = 0xFF000000u | (uint32_t)(x & 255) << 16 | (uint32_t)(y & 255) << 8;
	if (msync(memory, size, MS_SYNC) != 0)
		return fail("msync");
	if (write(window, "T,from C", 8) != 8)
		return fail("a command");
	puts("shown");
	fflush(stdout);

	struct pollfd both[2] = {{window, POLLIN, 0}, {0, POLLIN, 0}};
	for (;;) {
		if (poll(both, 2, -1) < 0)
			return fail("poll");
		if (both[1].revents)
			return 0;
		int64_t event[4]; /* 32 bytes hold one event of 24 */
		ssize_t got = read(window, event, sizeof event);
		if (got != 24)
			return fail("read");
		printf("%" PRId64 " %" PRId64 " %" PRId64 "\n", event[0], event[1], event[2]);
		fflush(stdout);
		if (event[0] == 5)
			return 0;
	}
}
