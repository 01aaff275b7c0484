/* The list of schemes: `/scheme`, or `:` in the older spelling. */
#ifndef REDBEAR_LISTING_H
#define REDBEAR_LISTING_H

#include "ring.h"

size_t list_open(uint32_t flags);
size_t list_entries(void *buf, size_t len, uint64_t opaque);

#endif
