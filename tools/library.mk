# What a C library of ours is built by: NAME, and LIBRARIES that it stands on.  Included.
BUILD  ?= ../build
ifeq ($(origin CC),default)
CC     := gcc
endif
CFLAGS ?= -O2 -g
STRICT := -std=c11 -Wall -Wextra -Werror -fvisibility=hidden -fPIC -pthread
SONAME := $(NAME).so.1

SOURCES := $(wildcard *.c)
OBJECTS := $(SOURCES:%.c=$(BUILD)/$(NAME)/%.o)

$(BUILD)/$(NAME).so: $(BUILD)/$(SONAME)
	ln -sf $(SONAME) $@

$(BUILD)/$(SONAME): $(OBJECTS)
	$(CC) $(CFLAGS) -shared -pthread -Wl,-soname,$(SONAME) -Wl,-z,defs -Wl,-rpath,'$$ORIGIN' \
	  -o $@ $^ -L$(BUILD) $(LIBRARIES)

$(BUILD)/$(NAME)/%.o: %.c $(wildcard *.h ../libredox/redox.h) | $(BUILD)/$(NAME)
	$(CC) $(CFLAGS) $(STRICT) -c -o $@ $<

$(BUILD)/$(NAME):
	mkdir -p $@
