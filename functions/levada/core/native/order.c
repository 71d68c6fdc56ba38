/* Texts in order. */
#include "kernels.h"

/* Is each of n texts of an Arrow column more than the one before, byte by byte? */
EXPORT int64_t levada_ascending(int64_t n, const int32_t *offsets, const uint8_t *text)
{
    for (int64_t i = 1; i < n; i++) {
        const uint8_t *at = text + offsets[i - 1], *end = text + offsets[i], *other = end;
        const uint8_t *other_end = text + offsets[i + 1];
        while (at < end && other < other_end && *at == *other) {
            at++;
            other++;
        }
        if (other == other_end || (at < end && *at > *other))
            return 0;
    }
    return 1;
}
