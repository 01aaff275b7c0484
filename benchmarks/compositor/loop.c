/* The composition that benchmarks/compositor.py measures, by a loop on libpixman and nothing else.
 *
 * Usage: loop SCENE WIDTH HEIGHT SECONDS KIND PICTURE
 *
 * SCENE is a file of layers, frontmost first: six 32-bit numbers (x, y, width, height, opaque, which
 * window it belongs to) and the pixels.  KIND is `full`, `WxH+X+Y` (that much is damaged in each
 * frame) or `drag` (window 0 goes to and fro by a pixel).  What is painted is culled and painted as
 * Orbital does it: front to back with regions, then back to front.  Prints frames per second of
 * processor time, and leaves the last frame in PICTURE.
 */
#include <pixman.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 64 };

struct layer {
	int32_t x, y, width, height, opaque, window;
	pixman_image_t *image;
};

static struct layer layers[MOST];
static int count;
static int width, height;
static uint32_t *pixels;
static pixman_image_t *canvas;

static double processor_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec + now.tv_nsec * 1e-9;
}

static void load(const char *path)
{
	FILE *file = fopen(path, "rb");
	int32_t head[6];

	if (!file)
		exit(2);
	while (count < MOST && fread(head, sizeof head, 1, file) == 1) {
		struct layer *layer = &layers[count++];
		size_t size = (size_t)head[2] * head[3] * 4;
		uint32_t *bits = malloc(size);

		memcpy(layer, head, sizeof head);
		if (!bits || fread(bits, size, 1, file) != 1)
			exit(2);
		layer->image = pixman_image_create_bits(
			layer->opaque ? PIXMAN_x8r8g8b8 : PIXMAN_a8r8g8b8,
			layer->width, layer->height, bits, layer->width * 4);
	}
	fclose(file);
}

/* Paint what is to be seen in `todo`, which is used up. */
static void paint(pixman_region32_t *todo)
{
	static pixman_region32_t seen[MOST];
	pixman_box32_t *boxes;
	int last = 0, boxes_count;

	for (; last < count && pixman_region32_not_empty(todo); last++) {
		struct layer *layer = &layers[last];

		pixman_region32_init(&seen[last]);
		pixman_region32_intersect_rect(&seen[last], todo, layer->x, layer->y,
					       layer->width, layer->height);
		if (layer->opaque && pixman_region32_not_empty(&seen[last]))
			pixman_region32_subtract(todo, todo, &seen[last]);
	}
	boxes = pixman_region32_rectangles(todo, &boxes_count);
	for (int i = 0; i < boxes_count; i++)
		pixman_fill(pixels, width, 32, boxes[i].x1, boxes[i].y1, boxes[i].x2 - boxes[i].x1,
			    boxes[i].y2 - boxes[i].y1, 0xFF000000);
	while (last--) {
		struct layer *layer = &layers[last];

		boxes = pixman_region32_rectangles(&seen[last], &boxes_count);
		for (int i = 0; i < boxes_count; i++)
			pixman_image_composite32(
				layer->opaque ? PIXMAN_OP_SRC : PIXMAN_OP_OVER, layer->image, NULL,
				canvas, boxes[i].x1 - layer->x, boxes[i].y1 - layer->y, 0, 0,
				boxes[i].x1, boxes[i].y1, boxes[i].x2 - boxes[i].x1,
				boxes[i].y2 - boxes[i].y1);
		pixman_region32_fini(&seen[last]);
	}
}

static void damage_window(pixman_region32_t *damage)
{
	for (int i = 0; i < count; i++)
		if (layers[i].window == 0)
			pixman_region32_union_rect(damage, damage, layers[i].x, layers[i].y,
						   layers[i].width, layers[i].height);
	pixman_region32_intersect_rect(damage, damage, 0, 0, width, height);
}

static void drag(pixman_region32_t *damage, int by)
{
	damage_window(damage);
	for (int i = 0; i < count; i++)
		if (layers[i].window == 0)
			layers[i].x += by;
	damage_window(damage);
}

int main(int argc, char **argv)
{
	pixman_region32_t todo;
	unsigned across, down;
	int left, top;
	long frames = 0;
	double start, spent, seconds;
	FILE *file;

	if (argc != 7)
		return 2;
	load(argv[1]);
	width = atoi(argv[2]);
	height = atoi(argv[3]);
	seconds = atof(argv[4]);
	pixels = calloc((size_t)width * height, 4);
	canvas = pixman_image_create_bits(PIXMAN_x8r8g8b8, width, height, pixels, width * 4);
	pixman_region32_init_rect(&todo, 0, 0, width, height);
	paint(&todo);
	if (!strcmp(argv[5], "full")) {
		left = top = 0;
		across = width;
		down = height;
	} else if (sscanf(argv[5], "%ux%u+%d+%d", &across, &down, &left, &top) != 4) {
		across = 0;
	}
	start = processor_time();
	do {
		for (int i = 0; i < 8; i++, frames++) {
			pixman_region32_fini(&todo);
			pixman_region32_init_rect(&todo, left, top, across, across ? down : 0);
			if (!across)
				drag(&todo, frames / 100 % 2 ? -1 : 1);
			paint(&todo);
		}
		spent = processor_time() - start;
	} while (spent < seconds || frames % 200);
	printf("%.3f\n", frames / spent);
	file = fopen(argv[6], "wb");
	if (!file || fwrite(pixels, (size_t)width * height * 4, 1, file) != 1)
		return 2;
	return fclose(file) ? 2 : 0;
}
