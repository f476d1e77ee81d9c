/* ./example PICTURE: the classes of a raw picture of ${NAME}_WIDTH x ${NAME}_HEIGHT pixels, the likeliest first.
   For computers with files; on a board call ${name}_classify as below. */

#ifndef ARDUINO

#include <stdio.h>

#include "$name.h"

#define NUM_SHOWN (${NAME}_CLASSES < 5 ? ${NAME}_CLASSES : 5)

static void show(int32_t class_index, uint16_t probability)
{
    for (const char *letter = ${name}_class_names[class_index]; *letter; letter++)
        putchar((unsigned char)*letter < 32 || *letter == 127 ? '?' : *letter);
    printf(" %.4f\n", probability / 65535.0);
}

int main(int argc, char **argv)
{
    static uint8_t pixels[${NAME}_HEIGHT * ${NAME}_WIDTH * ${NAME}_CHANNELS];
    static int32_t logits[${NAME}_CLASSES];
    static uint16_t probabilities[${NAME}_CLASSES];
    static char is_shown[${NAME}_CLASSES];
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : 0;
    int is_right_size = 0;
    if (argc != 2) {
        fprintf(stderr, "usage: example PICTURE\n");
        return 2;
    }
    if (!file) {
        perror(argv[1]);
        return 1;
    }
    is_right_size = fread(pixels, 1, sizeof pixels, file) == sizeof pixels && getc(file) == EOF;
    fclose(file);
    if (!is_right_size) {
        fprintf(stderr, "%s: not the %lu bytes of a picture of %d x %d pixels, $pixel_layout\n", argv[1],
                (unsigned long)sizeof pixels, ${NAME}_WIDTH, ${NAME}_HEIGHT);
        return 1;
    }
    int32_t best = ${name}_classify(pixels, logits);$if_unsure
    ${name}_probabilities(logits, probabilities);
    for (int shown = 0; shown < NUM_SHOWN; shown++) {
        show(best, probabilities[best]);
        is_shown[best] = 1;
        best = -1;
        for (int32_t i = 0; i < ${NAME}_CLASSES; i++)
            if (!is_shown[i] && (best < 0 || logits[i] > logits[best]))
                best = i;
    }
    return 0;
}

#else
typedef int nothing_for_arduino;
#endif
