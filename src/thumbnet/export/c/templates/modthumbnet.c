/* A MicroPython user C module: thumbnet.classify(pixels) gives the class's name and all probabilities.
   Not run on a board by thumbnet's tests, which compile it against stub headers only. */

#include "py/obj.h"
#include "py/runtime.h"

#include <string.h>

#include "../$name.h"

static mp_obj_t thumbnet_classify(mp_obj_t picture)
{
    static int32_t logits[${NAME}_CLASSES];
    static uint16_t probabilities[${NAME}_CLASSES];
    mp_buffer_info_t buffer;
    mp_obj_t both[2];
    mp_get_buffer_raise(picture, &buffer, MP_BUFFER_READ);
    if (buffer.len != ${NAME}_HEIGHT * ${NAME}_WIDTH * ${NAME}_CHANNELS)
        mp_raise_ValueError(MP_ERROR_TEXT("not a picture of the model's size"));
    const char *name = ${name}_class_names[${name}_classify((const uint8_t *)buffer.buf, logits)];
    ${name}_probabilities(logits, probabilities);
    both[0] = mp_obj_new_str(name, strlen(name));
    both[1] = mp_obj_new_list(0, NULL);
    for (int i = 0; i < ${NAME}_CLASSES; i++)
        mp_obj_list_append(both[1], mp_obj_new_float((mp_float_t)probabilities[i] / (mp_float_t)65535));
    return mp_obj_new_tuple(2, both);
}
static MP_DEFINE_CONST_FUN_OBJ_1(thumbnet_classify_obj, thumbnet_classify);

static const mp_rom_map_elem_t thumbnet_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_thumbnet)},
    {MP_ROM_QSTR(MP_QSTR_classify), MP_ROM_PTR(&thumbnet_classify_obj)},
};
static MP_DEFINE_CONST_DICT(thumbnet_globals, thumbnet_globals_table);

const mp_obj_module_t thumbnet_user_cmodule = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&thumbnet_globals,
};
MP_REGISTER_MODULE(MP_QSTR_thumbnet, thumbnet_user_cmodule);
