/* See obj.h. */
#ifndef STUB_RUNTIME_H
#define STUB_RUNTIME_H
#include "py/obj.h"
void mp_get_buffer_raise(mp_obj_t object, mp_buffer_info_t *buffer, unsigned flags);
void mp_raise_ValueError(mp_rom_error_text_t message);
#endif
