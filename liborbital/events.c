/* Events: records of 24 bytes (code, a, b), as Orbital keeps them for a window. */
#include <stdlib.h>

#include "../libredox/redox.h"
#include "orbital.h"
#include "window.h"

enum { AT_ONCE = 64 };

enum code {
    KEY = 1, MOUSE, BUTTON, SCROLL, QUIT, FOCUS, MOVE, RESIZE, SCREEN, CLIPBOARD, MOUSE_RELATIVE,
    DROP, TEXT_INPUT, CLIPBOARD_UPDATE, HOVER,
};

struct record {
    int64_t code, a, b;
};

struct events {
    size_t count, next;
    struct record records[AT_ONCE];
};

static OrbEventOption event_of(const struct record *it)
{
    int64_t a = it->a, b = it->b;
    switch (it->code) {
    case KEY:
        return (OrbEventOption){OrbEventOption_Key,
                                .key = {(uint32_t)a, (uint8_t)b, (b & 0x100) != 0}};
    case TEXT_INPUT:
        return (OrbEventOption){OrbEventOption_TextInput, .text_input = {(uint32_t)a}};
    case MOUSE:
        return (OrbEventOption){OrbEventOption_Mouse, .mouse = {(int32_t)a, (int32_t)b}};
    case MOUSE_RELATIVE:
        return (OrbEventOption){OrbEventOption_MouseRelative,
                                .mouse_relative = {(int32_t)a, (int32_t)b}};
    case BUTTON:
        return (OrbEventOption){OrbEventOption_Button,
                                .button = {(a & 1) != 0, (a & 2) != 0, (a & 4) != 0}};
    case SCROLL:
        return (OrbEventOption){OrbEventOption_Scroll, .scroll = {(int32_t)a, (int32_t)b}};
    case QUIT:
        return (OrbEventOption){.tag = OrbEventOption_Quit};
    case FOCUS:
        return (OrbEventOption){OrbEventOption_Focus, .focus = {a != 0}};
    case MOVE:
        return (OrbEventOption){OrbEventOption_Move, .move = {(int32_t)a, (int32_t)b}};
    case RESIZE:
        return (OrbEventOption){OrbEventOption_Resize, .resize = {(uint32_t)a, (uint32_t)b}};
    case SCREEN:
        return (OrbEventOption){OrbEventOption_Screen, .screen = {(uint32_t)a, (uint32_t)b}};
    case CLIPBOARD:
        return (OrbEventOption){OrbEventOption_Clipboard, .clipboard = {(uint8_t)a, (uintptr_t)b}};
    case CLIPBOARD_UPDATE:
        return (OrbEventOption){.tag = OrbEventOption_ClipboardUpdate};
    case DROP:
        return (OrbEventOption){OrbEventOption_Drop, .drop = {(uint8_t)a}};
    case HOVER:
        return (OrbEventOption){OrbEventOption_Hover, .hover = {a != 0}};
    default:
        return (OrbEventOption){OrbEventOption_Unknown, .unknown = {it->code, a, b}};
    }
}

void *orb_window_events(void *handle)
{
    struct orb_window *window = handle;
    struct events *events = calloc(1, sizeof *events);
    if (!events)
        return NULL;
    size_t length = redox_read_v1(window->fd, events->records, sizeof events->records);
    if (!redox_is_error(length))
        events->count = length / sizeof *events->records;
    const struct record *size = NULL;
    for (size_t at = 0; at < events->count; at++)
        if (events->records[at].code == RESIZE)
            size = &events->records[at];
    if (size && window->flags & ORB_WINDOW_RESIZABLE)
        orb_window_set_size(window, (uint32_t)size->a, (uint32_t)size->b);
    return events;
}

OrbEventOption orb_events_next(void *event_iter)
{
    struct events *events = event_iter;
    if (!events || events->next == events->count)
        return (OrbEventOption){.tag = OrbEventOption_None};
    return event_of(&events->records[events->next++]);
}

void orb_events_destroy(void *event_iter)
{
    free(event_iter);
}
