/* Image classifier in whole numbers, C99, without allocation. Made by thumbnet $version; see README.md. */

#include "$name.h"

/* Of the first convolution, and the largest of all blocks. */
#define STEM_CHANNELS $stem_channels
#define STEM_SIDE $stem_side
#define STEM_PADDING $stem_padding
#define STEM_HEIGHT $stem_height
#define STEM_WIDTH $stem_width
#define STEM_VALUES (STEM_SIDE * STEM_SIDE * ${NAME}_CHANNELS)
#define MOST_CHANNELS $most_channels
#define NUM_BLOCKS $num_blocks
#define NUM_STREAMED $num_streamed
#define LAST_CHANNELS $last_channels
#define LAST_POSITIONS $last_positions
#define NO_MAP 0xffffffffu

/* A block: a 1x1 convolution (where there is one), 3x3 filters of its outputs, channel by channel, or of the whole input
   (where there is none), a maximum over 2x2 positions (where it pools), SiLU, and its input added (if it has a
   shortcut). `ring` holds the rows that the filters see. Places are in `memory`. */
struct block {
    const int8_t *pointwise;          /* [channels][in_channels], or null */
    const int32_t *pointwise_bias;    /* by channel, as are the other arrays but filters */
    const int32_t *pointwise_factors;
    const int8_t *filters;            /* [9][channels] with, [channels][9][in_channels] without a 1x1 convolution */
    const int32_t *bias;
    const int32_t *before_factors;
    const int32_t *after_factors;
    const int32_t *kept_factors;      /* of the input, which is added; null without a shortcut */
    uint32_t source, ring, target;    /* the input map, the rows, and the output map; NO_MAP between streamed blocks */
    uint16_t in_channels, in_height, in_width, ring_channels, ring_rows, channels, height, width;
    uint8_t pointwise_shift, before_shift, after_shift, stride, dilation, pools;
    int8_t padding, zero_before, zero; /* what stands for 0 in what the filters see, in the input and in the output */
};

$arrays
static const struct block blocks[NUM_BLOCKS] = {
$blocks
};

const char *const ${name}_class_names[${NAME}_CLASSES$one_more] = {
$class_names
};

static int8_t memory[$memory_bytes];
static int8_t values[MOST_CHANNELS];   /* one position of a map */
static int8_t border[MOST_CHANNELS];   /* one position outside a map */
static int32_t sums[MOST_CHANNELS];
static int32_t largest[MOST_CHANNELS];

/* Shifts of negative numbers must be arithmetic, as they are in every compiler known to us. */
typedef char shifts_are_arithmetic[((int64_t)-3 >> 1) == -2 ? 1 : -1];

/* product / 2^shift, rounded, a half up; from low to high. */
static int32_t rounded(int64_t product, uint8_t shift, int32_t low, int32_t high)
{
    const int64_t exact = (product + ((int64_t)1 << (shift - 1))) >> shift;
    return exact < low ? low : exact > high ? high : (int32_t)exact;
}

static int32_t scaled(int32_t value, int32_t factor, uint8_t shift, int32_t low, int32_t high)
{
    return rounded((int64_t)value * factor, shift, low, high);
}

static int32_t dot(const int8_t *restrict one, const int8_t *restrict other, int32_t length)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < length; i++)
        sum += (int32_t)one[i] * other[i];
    return sum;
}

static int8_t *ring_at(const struct block *block, int32_t row, int32_t column)
{
    return memory + block->ring + ((row % block->ring_rows) * block->in_width + column) * block->ring_channels;
}

static int8_t *map_at(const struct block *block, int32_t row, int32_t column)
{
    return memory + block->target + (row * block->width + column) * block->channels;
}

/* Put one position of a block's input where its filters see it. */
static void give(const struct block *block, int32_t row, int32_t column, const int8_t *restrict input)
{
    int8_t *restrict seen = ring_at(block, row, column);
    const int32_t length = block->in_channels;
    if (!block->pointwise) {
        for (int32_t i = 0; i < length; i++)
            seen[i] = input[i];
        return;
    }
    for (int32_t k = 0; k < block->ring_channels; k++) {
        const int32_t sum = dot(block->pointwise + k * length, input, length) + block->pointwise_bias[k];
        seen[k] = (int8_t)scaled(sum, block->pointwise_factors[k], block->pointwise_shift, -127, 127);
    }
}

/* Set `sums` to what the filters give at one position. */
static void convolve(const struct block *block, int32_t row, int32_t column)
{
    const int32_t seen_channels = block->ring_channels, channels = block->channels;
    const int8_t *seen[9];
    int is_at_border = 0;
    for (int32_t i = 0; i < 9; i++) {
        const int32_t y = row * block->stride + (i / 3 - 1) * block->dilation;
        const int32_t x = column * block->stride + (i % 3 - 1) * block->dilation;
        const int is_inside = y >= 0 && y < block->in_height && x >= 0 && x < block->in_width;
        seen[i] = is_inside ? ring_at(block, y, x) : border;
        is_at_border |= !is_inside;
    }
    if (is_at_border)
        for (int32_t k = 0; k < seen_channels; k++)
            border[k] = block->padding;
    for (int32_t k = 0; k < channels; k++)
        sums[k] = 0;
    for (int32_t i = 0; i < 9; i++) {
        if (block->pointwise) {
            const int8_t *restrict filters = block->filters + i * channels;
            const int8_t *restrict inputs = seen[i];
            int32_t *restrict outputs = sums;
            for (int32_t k = 0; k < channels; k++)
                outputs[k] += (int32_t)filters[k] * inputs[k];
        } else {
            const int8_t *filters = block->filters + i * seen_channels;
            for (int32_t k = 0; k < channels; k++)
                sums[k] += dot(filters + k * 9 * seen_channels, seen[i], seen_channels);
        }
    }
}

/* Set `largest` to what reaches a block's bias at one position. */
static void convolve_and_pool(const struct block *block, int32_t row, int32_t column)
{
    const int32_t side = block->pools ? 2 : 1;
    for (int32_t i = 0; i < side * side; i++) {
        convolve(block, row * side + i / side, column * side + i % side);
        for (int32_t k = 0; k < block->channels; k++)
            if (i == 0 || sums[k] > largest[k])
                largest[k] = sums[k];
    }
}

/* SiLU, in 4096ths. */
static int32_t silu(int32_t value)
{
    const int32_t step = (value < 0 ? -value : value) >> 7;
    return (value > 0 ? value : 0) - silu_table[step < 255 ? step : 255];
}

/* Compute one row of a block's output; `next` is given it where it is streamed, else null. */
static void compute_row(const struct block *block, int32_t row, const struct block *next)
{
    for (int32_t column = 0; column < block->width; column++) {
        int8_t *output = next ? values : map_at(block, row, column);
        convolve_and_pool(block, row, column);
        for (int32_t k = 0; k < block->channels; k++) {
            const int32_t before =
                scaled(largest[k] + block->bias[k], block->before_factors[k], block->before_shift, -67108864, 67108864);
            int64_t product = (int64_t)silu(before) * block->after_factors[k];
            if (block->kept_factors)
                product += (int64_t)(output[k] - block->zero_before) * block->kept_factors[k];
            output[k] = (int8_t)(block->zero + rounded(product, block->after_shift, -128 - block->zero, 127 - block->zero));
        }
        if (next)
            give(next, row, column, values);
    }
}

/* How many rows of its input a block needs for a row of its output. */
static int32_t rows_needed(const struct block *block, int32_t row)
{
    const int32_t last = (block->pools ? 2 * row + 1 : row) * block->stride + block->dilation;
    return last < block->in_height ? last + 1 : block->in_height;
}

/* Compute one row of the first convolution and give it to the first block. */
static void compute_stem_row(const uint8_t *pixels, int32_t row)
{
    int16_t patch[STEM_VALUES];
    for (int32_t column = 0; column < STEM_WIDTH; column++) {
        for (int32_t i = 0; i < STEM_VALUES; i++) {
            const int32_t channel = i % ${NAME}_CHANNELS, position = i / ${NAME}_CHANNELS;
            const int32_t y = $stem_row - STEM_PADDING + position / STEM_SIDE, x = $stem_column - STEM_PADDING + position % STEM_SIDE;
            const int is_inside = y >= 0 && y < ${NAME}_HEIGHT && x >= 0 && x < ${NAME}_WIDTH;
            patch[i] = 0;
            if (is_inside)
                patch[i] = (int16_t)(16 * pixels[(y * ${NAME}_WIDTH + x) * ${NAME}_CHANNELS + channel] - mean16[channel]);
        }
        for (int32_t k = 0; k < STEM_CHANNELS; k++) {
            int32_t sum = 0;
            for (int32_t i = 0; i < STEM_VALUES; i++)
                sum += (int32_t)patch[i] * stem_filters[k * STEM_VALUES + i];
            values[k] = (int8_t)(scaled(sum, stem_factors[k], $stem_shift, 0, 255) - 128);
        }
        give(&blocks[0], row, column, values);
    }
}

/* The first convolution and the leading blocks, each as soon as the rows that it needs are there. */
static void run_streamed(const uint8_t *pixels)
{
    int32_t rows[NUM_STREAMED + 1] = {0};   /* computed by the first convolution, and by each block */
    while (rows[NUM_STREAMED] < blocks[NUM_STREAMED - 1].height) {
        int32_t i = NUM_STREAMED;
        while (i > 0 && (rows[i] == blocks[i - 1].height || rows[i - 1] < rows_needed(&blocks[i - 1], rows[i])))
            i--;
        if (i == 0)
            compute_stem_row(pixels, rows[0]);
        else
            compute_row(&blocks[i - 1], rows[i], i < NUM_STREAMED ? &blocks[i] : 0);
        rows[i]++;
    }
}

/* A block that reads a whole map. */
static void run_block(const struct block *block)
{
    int32_t num_given = 0;
    for (int32_t row = 0; row < block->height; row++) {
        for (; num_given < rows_needed(block, row); num_given++)
            for (int32_t column = 0; column < block->in_width; column++)
                give(block, num_given, column,
                     memory + block->source + (num_given * block->in_width + column) * block->in_channels);
        compute_row(block, row, 0);
    }
}
$far
int32_t ${name}_classify(const uint8_t *pixels, int32_t logits[${NAME}_CLASSES])
{
    const struct block *last = &blocks[NUM_BLOCKS - 1];
    int32_t first = 0;
    run_streamed(pixels);
    for (int32_t i = NUM_STREAMED; i < NUM_BLOCKS; i++)
        run_block(&blocks[i]);
    for (int32_t k = 0; k < LAST_CHANNELS; k++) {
        sums[k] = $half_sum;
        for (int32_t i = 0; i < LAST_POSITIONS; i++)
            sums[k] += memory[last->target + (uint32_t)(i * LAST_CHANNELS + k)] - last->zero;
        sums[k] >>= $sum_shift;
    }
    for (int32_t i = 0; i < ${NAME}_CLASSES; i++) {
        int32_t sum = 0;
        for (int32_t k = 0; k < LAST_CHANNELS; k++)
            sum += head[i * LAST_CHANNELS + k] * sums[k];
        logits[i] = scaled(sum, head_factors[i], $head_shift, INT32_MIN, INT32_MAX);
        if (logits[i] > logits[first])
            first = i;
    }
    $answer
}

/* 2^-x for x in units of 1 / 2^${NAME}_LOGIT_BITS, in units of 1 / 2^24, so that many small ones add up to their sum: a
   polynomial for the fraction. */
static uint32_t power(uint32_t x)
{
    const uint32_t whole = x >> ${NAME}_LOGIT_BITS;
    const uint32_t fraction = (x << (16 - ${NAME}_LOGIT_BITS)) & 0xffffu;
    uint32_t sum = 449u;                              /* 2^-f = 1 - f (a - f (b - f (c - f d))) */
    sum = 3490u - ((sum * fraction) >> 16);
    sum = 15694u - ((sum * fraction) >> 16);
    sum = 45421u - ((sum * fraction) >> 16);
    sum = 65536u - ((sum * fraction) >> 16);
    return whole > 24 ? 0 : ((sum << 8) + ((uint32_t)1 << whole >> 1)) >> whole;
}

void ${name}_probabilities(const int32_t logits[${NAME}_CLASSES], uint16_t probabilities[${NAME}_CLASSES])
{
    int32_t highest = logits[0];
    uint64_t sum = 0;
    uint32_t total = 0;   /* in units of 1 / 32768, as are the first probabilities */
    for (int32_t i = 1; i < ${NAME}_CLASSES; i++)
        if (logits[i] > highest)
            highest = logits[i];
    for (int32_t i = 0; i < ${NAME}_CLASSES; i++) {
        const uint64_t below = (uint32_t)highest - (uint32_t)logits[i];
        const uint64_t x = below * 94548u >> 16;      /* 94548 / 65536 = 1 / ln 2 */
        const uint32_t share = power(x < 0x7fffffffu ? (uint32_t)x : 0x7fffffffu);
        probabilities[i] = (uint16_t)((share + 256) >> 9);
        sum += share;
    }
    total = (uint32_t)((sum + 256) >> 9);
    for (int32_t i = 0; i < ${NAME}_CLASSES; i++)
        probabilities[i] = (uint16_t)((probabilities[i] * 65535u + total / 2) / total);
}
