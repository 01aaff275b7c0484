/*
 * liborbital: windows of Orbital for programs in C, by the names of Redox's library of that name.
 *
 * A window's pixels are words 0xAARRGGBB, row after row; what is drawn is seen after
 * orb_window_sync.  Where the display is, ORBITAL_DISPLAY says (default: /scheme/orbital).
 * A window belongs to one thread at a time.  Link with -lorbital -lredox.
 */
#ifndef ORBITAL_H
#define ORBITAL_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ORBITAL_API __attribute__((visibility("default")))

/* Flags of orb_window_new_flags. */
#define ORB_WINDOW_ASYNC 1      /* orb_window_events does not wait */
#define ORB_WINDOW_BACK 2       /* always behind the others */
#define ORB_WINDOW_FRONT 4      /* always in front of them */
#define ORB_WINDOW_RESIZABLE 8  /* may be resized at the screen; its pixels then move, see below */
#define ORB_WINDOW_UNCLOSABLE 16
/* Ours: flags of Orbital that the library has no names for elsewhere. */
#define ORB_WINDOW_BORDERLESS 32
#define ORB_WINDOW_TRANSPARENT 64

/* Scancodes of a key event. */
#define ORB_KEY_ESC 0x01
#define ORB_KEY_1 0x02
#define ORB_KEY_2 0x03
#define ORB_KEY_3 0x04
#define ORB_KEY_4 0x05
#define ORB_KEY_5 0x06
#define ORB_KEY_6 0x07
#define ORB_KEY_7 0x08
#define ORB_KEY_8 0x09
#define ORB_KEY_9 0x0A
#define ORB_KEY_0 0x0B
#define ORB_KEY_MINUS 0x0C
#define ORB_KEY_EQUALS 0x0D
#define ORB_KEY_BKSP 0x0E
#define ORB_KEY_TAB 0x0F
#define ORB_KEY_Q 0x10
#define ORB_KEY_W 0x11
#define ORB_KEY_E 0x12
#define ORB_KEY_R 0x13
#define ORB_KEY_T 0x14
#define ORB_KEY_Y 0x15
#define ORB_KEY_U 0x16
#define ORB_KEY_I 0x17
#define ORB_KEY_O 0x18
#define ORB_KEY_P 0x19
#define ORB_KEY_BRACE_OPEN 0x1A
#define ORB_KEY_BRACE_CLOSE 0x1B
#define ORB_KEY_ENTER 0x1C
#define ORB_KEY_CTRL 0x1D
#define ORB_KEY_A 0x1E
#define ORB_KEY_S 0x1F
#define ORB_KEY_D 0x20
#define ORB_KEY_F 0x21
#define ORB_KEY_G 0x22
#define ORB_KEY_H 0x23
#define ORB_KEY_J 0x24
#define ORB_KEY_K 0x25
#define ORB_KEY_L 0x26
#define ORB_KEY_SEMICOLON 0x27
#define ORB_KEY_QUOTE 0x28
#define ORB_KEY_TICK 0x29
#define ORB_KEY_LEFT_SHIFT 0x2A
#define ORB_KEY_BACKSLASH 0x2B
#define ORB_KEY_Z 0x2C
#define ORB_KEY_X 0x2D
#define ORB_KEY_C 0x2E
#define ORB_KEY_V 0x2F
#define ORB_KEY_B 0x30
#define ORB_KEY_N 0x31
#define ORB_KEY_M 0x32
#define ORB_KEY_COMMA 0x33
#define ORB_KEY_PERIOD 0x34
#define ORB_KEY_SLASH 0x35
#define ORB_KEY_RIGHT_SHIFT 0x36
#define ORB_KEY_ALT 0x38
#define ORB_KEY_SPACE 0x39
#define ORB_KEY_CAPS 0x3A
#define ORB_KEY_F1 0x3B
#define ORB_KEY_F2 0x3C
#define ORB_KEY_F3 0x3D
#define ORB_KEY_F4 0x3E
#define ORB_KEY_F5 0x3F
#define ORB_KEY_F6 0x40
#define ORB_KEY_F7 0x41
#define ORB_KEY_F8 0x42
#define ORB_KEY_F9 0x43
#define ORB_KEY_F10 0x44
#define ORB_KEY_SCROLL 0x46
#define ORB_KEY_HOME 0x47
#define ORB_KEY_UP 0x48
#define ORB_KEY_PGUP 0x49
#define ORB_KEY_LEFT 0x4B
#define ORB_KEY_RIGHT 0x4D
#define ORB_KEY_END 0x4F
#define ORB_KEY_DOWN 0x50
#define ORB_KEY_PGDN 0x51
#define ORB_KEY_INSERT 0x52
#define ORB_KEY_DEL 0x53
#define ORB_KEY_F11 0x57
#define ORB_KEY_F12 0x58

/* Events. */
typedef enum {
    OrbEventOption_Key,
    OrbEventOption_TextInput,
    OrbEventOption_Mouse,
    OrbEventOption_MouseRelative,
    OrbEventOption_Button,
    OrbEventOption_Scroll,
    OrbEventOption_Quit,
    OrbEventOption_Focus,
    OrbEventOption_Move,
    OrbEventOption_Resize,
    OrbEventOption_Screen,
    OrbEventOption_Clipboard,
    OrbEventOption_ClipboardUpdate,
    OrbEventOption_Drop,
    OrbEventOption_Hover,
    OrbEventOption_Unknown, /* of another code: what it says is in `unknown` */
    OrbEventOption_None,    /* there are no more */
} OrbEventOption_Tag;

typedef struct {
    uint32_t character; /* 0: none */
    uint8_t scancode;
    bool pressed;
} OrbEventOption_Key_Body;

typedef struct {
    uint32_t character;
} OrbEventOption_TextInput_Body;

typedef struct {
    int32_t x, y; /* of the window, in pixels */
} OrbEventOption_Mouse_Body;

typedef struct {
    int32_t dx, dy;
} OrbEventOption_MouseRelative_Body;

typedef struct {
    bool left, middle, right; /* all that are held */
} OrbEventOption_Button_Body;

typedef struct {
    int32_t x, y; /* up is positive */
} OrbEventOption_Scroll_Body;

typedef struct {
    bool focused;
} OrbEventOption_Focus_Body;

typedef struct {
    int32_t x, y;
} OrbEventOption_Move_Body;

typedef struct {
    uint32_t width, height;
} OrbEventOption_Resize_Body;

typedef struct {
    uint32_t width, height;
} OrbEventOption_Screen_Body;

typedef struct {
    uint8_t kind; /* 1 copy, 2 cut, 3 paste */
    uintptr_t size;
} OrbEventOption_Clipboard_Body;

typedef struct {
    uint8_t kind;
} OrbEventOption_Drop_Body;

typedef struct {
    bool entered;
} OrbEventOption_Hover_Body;

typedef struct {
    int64_t code, a, b;
} OrbEventOption_Unknown_Body;

typedef struct {
    OrbEventOption_Tag tag;
    union {
        OrbEventOption_Key_Body key;
        OrbEventOption_TextInput_Body text_input;
        OrbEventOption_Mouse_Body mouse;
        OrbEventOption_MouseRelative_Body mouse_relative;
        OrbEventOption_Button_Body button;
        OrbEventOption_Scroll_Body scroll;
        OrbEventOption_Focus_Body focus;
        OrbEventOption_Move_Body move;
        OrbEventOption_Resize_Body resize;
        OrbEventOption_Screen_Body screen;
        OrbEventOption_Clipboard_Body clipboard;
        OrbEventOption_Drop_Body drop;
        OrbEventOption_Hover_Body hover;
        OrbEventOption_Unknown_Body unknown;
    };
} OrbEventOption;

/* The size of the first display in pixels; 0 where there is none. */
ORBITAL_API uint32_t orb_display_width(void);
ORBITAL_API uint32_t orb_display_height(void);

/* Open a window; both coordinates -1: wherever there is room.  NULL, and errno, if it cannot be. */
ORBITAL_API void *orb_window_new(int32_t x, int32_t y, uint32_t w, uint32_t h, const char *title);
ORBITAL_API void *orb_window_new_flags(int32_t x, int32_t y, uint32_t w, uint32_t h,
                                       const char *title, uint32_t flags);
ORBITAL_API void orb_window_destroy(void *window);

ORBITAL_API int32_t orb_window_x(void *window);
ORBITAL_API int32_t orb_window_y(void *window);
ORBITAL_API uint32_t orb_window_width(void *window);
ORBITAL_API uint32_t orb_window_height(void *window);
/* The pixels: width * height words.  They are elsewhere after orb_window_set_size, and after
   orb_window_events of a resizable window, which takes the size that it was asked to take. */
ORBITAL_API uint32_t *orb_window_data(void *window);

ORBITAL_API void orb_window_set_pos(void *window, int32_t x, int32_t y);
ORBITAL_API void orb_window_set_size(void *window, uint32_t w, uint32_t h);
ORBITAL_API void orb_window_set_title(void *window, const char *title);
ORBITAL_API void orb_window_set_mouse_cursor(void *window, bool cursor);
ORBITAL_API void orb_window_set_mouse_grab(void *window, bool grab);
ORBITAL_API void orb_window_set_mouse_relative(void *window, bool relative);
/* Show what was drawn. */
ORBITAL_API void orb_window_sync(void *window);

/* What has happened: waits for the first event, unless the window is ORB_WINDOW_ASYNC.  Take
   events until there are none, then destroy what was returned.  NULL when there is no memory. */
ORBITAL_API void *orb_window_events(void *window);
ORBITAL_API OrbEventOption orb_events_next(void *event_iter);
ORBITAL_API void orb_events_destroy(void *event_iter);

#ifdef __cplusplus
}
#endif

#endif
