/* Classify raw pictures from the standard input: their logits to the standard output, seconds a picture to the error
   output. */

#include <stdio.h>
#include <time.h>

#include "$name.h"

int main(void)
{
    static uint8_t pixels[${NAME}_HEIGHT * ${NAME}_WIDTH * ${NAME}_CHANNELS];
    static int32_t logits[${NAME}_CLASSES];
    static uint16_t probabilities[${NAME}_CLASSES];
    unsigned long num_pictures = 0;
    const clock_t start = clock();
    while (fread(pixels, 1, sizeof pixels, stdin) == sizeof pixels) {
        const int32_t first = ${name}_classify(pixels, logits);
        ${name}_probabilities(logits, probabilities);
        fwrite(&first, sizeof first, 1, stdout);
        fwrite(logits, sizeof logits, 1, stdout);
        fwrite(probabilities, sizeof probabilities, 1, stdout);
        num_pictures++;
    }
    if (num_pictures > 0)
        fprintf(stderr, "%.9f\n", (double)(clock() - start) / CLOCKS_PER_SEC / (double)num_pictures);
    return 0;
}
