/* Stubs of what modthumbnet.c uses of MicroPython: enough to compile it, not to run it. */
#ifndef STUB_OBJ_H
#define STUB_OBJ_H
#include <stddef.h>
#include <stdint.h>
typedef void *mp_obj_t;
typedef const void *mp_rom_obj_t;
typedef float mp_float_t;
typedef struct { int unused; } mp_obj_type_t;
typedef struct { const mp_obj_type_t *type; } mp_obj_base_t;
typedef struct { mp_obj_base_t base; } mp_obj_dict_t;
typedef struct { mp_obj_base_t base; mp_obj_dict_t *globals; } mp_obj_module_t;
typedef struct { void *buf; size_t len; int typecode; } mp_buffer_info_t;
typedef struct { mp_rom_obj_t key; mp_rom_obj_t value; } mp_rom_map_elem_t;
typedef struct { mp_obj_base_t base; mp_obj_t (*function)(mp_obj_t); } mp_obj_fun_builtin_fixed_t;
typedef const char *mp_rom_error_text_t;
extern const mp_obj_type_t mp_type_module, mp_type_dict, mp_type_fun_builtin_1;
enum { MP_QSTR___name__ = 1, MP_QSTR_thumbnet, MP_QSTR_classify };
#define MP_BUFFER_READ 1
#define MP_ERROR_TEXT(text) (text)
#define MP_ROM_QSTR(qstr) ((mp_rom_obj_t)(intptr_t)(qstr))
#define MP_ROM_PTR(pointer) (pointer)
#define MP_DEFINE_CONST_FUN_OBJ_1(name, function) \
    const mp_obj_fun_builtin_fixed_t name = {{&mp_type_fun_builtin_1}, function}
#define MP_DEFINE_CONST_DICT(name, table) \
    const mp_rom_map_elem_t *name##_table_used = table; \
    const mp_obj_dict_t name = {{&mp_type_dict}}
#define MP_REGISTER_MODULE(name, module) typedef int registered_module
mp_obj_t mp_obj_new_str(const char *data, size_t length);
mp_obj_t mp_obj_new_float(mp_float_t value);
mp_obj_t mp_obj_new_list(size_t length, mp_obj_t *items);
mp_obj_t mp_obj_new_tuple(size_t length, const mp_obj_t *items);
mp_obj_t mp_obj_list_append(mp_obj_t list, mp_obj_t item);
#endif
