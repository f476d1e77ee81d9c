/* Image classifier in whole numbers, C99, without allocation. Made by thumbnet $version; see README.md.

   Not re-entrant: one picture at a time. RAM and flash are in README.md. */

#ifndef ${NAME}_H
#define ${NAME}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${NAME}_WIDTH $width
#define ${NAME}_HEIGHT $height
#define ${NAME}_CHANNELS $channels
#define ${NAME}_CLASSES $num_classes
#define ${NAME}_LOGIT_BITS $logit_bits$unsure_macro

/* The classes' names, UTF-8$and_unsure. */
extern const char *const ${name}_class_names[${NAME}_CLASSES$one_more];

/* The picture's class, 0 to ${NAME}_CLASSES - 1$or_unsure.

   pixels: the rows from the top, each from the left, ${pixel_layout}: ${NAME}_HEIGHT x ${NAME}_WIDTH x
   ${NAME}_CHANNELS bytes.
   logits: are set to the classes' scores, in units of 1 / 2^${NAME}_LOGIT_BITS. */
int32_t ${name}_classify(const uint8_t *pixels, int32_t logits[${NAME}_CLASSES]);

/* The classes' probabilities in units of 1 / 65535, from their logits; within $probability_error of the exact softmax. */
void ${name}_probabilities(const int32_t logits[${NAME}_CLASSES], uint16_t probabilities[${NAME}_CLASSES]);

#ifdef __cplusplus
}
#endif

#endif
