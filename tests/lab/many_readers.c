/* many_readers PATH COUNT: COUNT threads read one byte each of the file, through one descriptor.

   Prints "reading" when all threads have been started, then waits for them.  Stacks are small, so
   that ten thousand take little memory. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fd;

static void *reader(void *unused)
{
	char byte;
	(void)unused;
	if (read(fd, &byte, 1) < 0)
		perror("read");
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_attr_t small;
	pthread_t thread;
	long count;

	if (argc != 3 || (fd = open(argv[1], O_RDONLY)) < 0)
		return 1;
	count = atol(argv[2]);
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, PTHREAD_STACK_MIN > 16384 ? PTHREAD_STACK_MIN : 16384);
	for (long n = 0; n < count; n++) {
		int failed = pthread_create(&thread, &small, reader, NULL);
		if (failed) {
			fprintf(stderr, "thread %ld: error %d\n", n, failed);
			return 2;
		}
	}
	puts("reading");
	fflush(stdout);
	pthread_exit(NULL);
}
