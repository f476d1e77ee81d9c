/* A camera's picture as ${name}_classify takes it: the largest centred part of the model's proportions, each of its
   pixels the mean of those that it covers. C99 and C++. Made by thumbnet $version; see README.md. */

#ifndef ${NAME}_CAMERA_H
#define ${NAME}_CAMERA_H

#include "$name.h"

enum ${name}_format {
    ${NAME}_RGB888,
    ${NAME}_RGB565_BIG,     /* two bytes a pixel, the upper first, as most camera modules send it */
    ${NAME}_RGB565_LITTLE   /* two bytes a pixel, the lower first */
};

/* Red, green and blue of a camera's pixel, 0 to 255 each. */
static inline void ${name}_read_pixel(const uint8_t *camera, uint32_t position, enum ${name}_format format, uint32_t *rgb)
{
    if (format == ${NAME}_RGB888) {
        rgb[0] = camera[3 * position];
        rgb[1] = camera[3 * position + 1];
        rgb[2] = camera[3 * position + 2];
    } else {
        const uint32_t one = camera[2 * position], other = camera[2 * position + 1];
        const uint32_t both = format == ${NAME}_RGB565_BIG ? one << 8 | other : other << 8 | one;
        const uint32_t red = both >> 11, green = both >> 5 & 63u, blue = both & 31u;
        rgb[0] = red << 3 | red >> 2;
        rgb[1] = green << 2 | green >> 4;
        rgb[2] = blue << 3 | blue >> 2;
    }
}

/* camera: width x height pixels, at most 4096 a side. pixels: gets the model's picture. */
static inline void ${name}_from_camera(const uint8_t *camera, uint32_t width, uint32_t height,
                                       enum ${name}_format format, uint8_t *pixels)
{
    const int is_wide = width * ${NAME}_HEIGHT > height * ${NAME}_WIDTH;
    const uint32_t part_width = is_wide ? height * ${NAME}_WIDTH / ${NAME}_HEIGHT : width;
    const uint32_t part_height = is_wide ? height : width * ${NAME}_HEIGHT / ${NAME}_WIDTH;
    const uint32_t left = (width - part_width) / 2, top = (height - part_height) / 2;
    for (uint32_t row = 0; row < ${NAME}_HEIGHT; row++) {
        for (uint32_t column = 0; column < ${NAME}_WIDTH; column++) {
            const uint32_t y = top + row * part_height / ${NAME}_HEIGHT, x = left + column * part_width / ${NAME}_WIDTH;
            uint32_t y_end = top + (row + 1) * part_height / ${NAME}_HEIGHT;
            uint32_t x_end = left + (column + 1) * part_width / ${NAME}_WIDTH;
            uint32_t sums[3] = {0, 0, 0}, count = 0;
            if (y_end <= y)
                y_end = y + 1;
            if (x_end <= x)
                x_end = x + 1;
            for (uint32_t i = y; i < y_end; i++)
                for (uint32_t j = x; j < x_end; j++) {
                    uint32_t rgb[3];
                    ${name}_read_pixel(camera, i * width + j, format, rgb);
                    sums[0] += rgb[0];
                    sums[1] += rgb[1];
                    sums[2] += rgb[2];
                    count++;
                }
            sums[0] = (sums[0] + count / 2) / count;
            sums[1] = (sums[1] + count / 2) / count;
            sums[2] = (sums[2] + count / 2) / count;
#if ${NAME}_CHANNELS == 3
            *pixels++ = (uint8_t)sums[0];
            *pixels++ = (uint8_t)sums[1];
            *pixels++ = (uint8_t)sums[2];
#else
            *pixels++ = (uint8_t)((19595u * sums[0] + 38470u * sums[1] + 7471u * sums[2] + 32768u) >> 16);
#endif
        }
    }
}

#endif
