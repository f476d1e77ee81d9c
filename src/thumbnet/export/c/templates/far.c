
/* Whether a picture is unlike everything that the network was trained on: its features (`sums`, which are changed) are
   further than $limit deviations from the mean of every class. In units of 1/$unit deviation. */
static int is_far(void)
{
    for (int32_t k = 0; k < LAST_CHANNELS; k++) {
        const int32_t feature = scaled(sums[k], far_factors[k], $shift, -1073741824, 1073741824) - far_centres[k];
        sums[k] = feature < -32767 ? -32767 : feature > 32767 ? 32767 : feature;
    }
    for (int32_t i = 0; i < ${NAME}_CLASSES; i++) {
        int64_t square = 0;
        for (int32_t k = 0; k < LAST_CHANNELS; k++) {
            const int64_t difference = sums[k] - far_means[i * LAST_CHANNELS + k];
            square += difference * difference;
        }
        if (square <= $largest_square)
            return 0;
    }
    return 1;
}
