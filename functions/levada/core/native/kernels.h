/* What the kernels share. They are freestanding: no libm, no allocation (callers bring the room), no Python. */
#ifndef LEVADA_KERNELS_H
#define LEVADA_KERNELS_H

#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define NO_TIME INT64_MIN

/* Columns of a window's numbers, as parts.WHOLE and parts.REAL have them. */
enum { COUNT, MISSING, LATE, FIRST_TIME, FIRST_ROW, LAST_TIME, LAST_ROW, WINDOW_START, WIDTH_S, WHOLE };
enum { SUM, MIN, MAX, MEAN, MEAN_LOW, M2, FIRST, LAST, BIN_ERROR, REAL };

/* Mean and its rest from a base and what the mean lies above it: base + shift as the nearest double, and what is left. */
static inline void mean_of(double base, double shift, double *mean, double *low)
{
    double found = base + shift, rest = shift - (found - base);
    *mean = found;
    *low = rest - rest == 0 ? rest : 0; /* not finite: no rest */
}

/* Of n bins in order at most `most` are left: the lowest are counted in the lowest that stays. Returns how many. */
static inline int64_t collapsed(int64_t n, int64_t most, int64_t *keys, int64_t *counts)
{
    int64_t gone = n - most;
    if (gone <= 0)
        return n;
    for (int64_t i = 0; i < gone; i++)
        counts[gone] += counts[i];
    for (int64_t i = 0; i < most; i++) {
        keys[i] = keys[gone + i];
        counts[i] = counts[gone + i];
    }
    return most;
}

/* Places of n things, those of one window together and as they came; ends: where those of each window end. */
static inline void by_window(int64_t n, int64_t windows, const int64_t *group, int64_t *ends, int32_t *places)
{
    for (int64_t g = 0; g < windows; g++)
        ends[g] = 0;
    for (int64_t i = 0; i < n; i++)
        ends[group[i]]++;
    for (int64_t g = 0, start = 0; g < windows; g++) {
        int64_t size = ends[g];
        ends[g] = start;
        start += size;
    }
    for (int64_t i = 0; i < n; i++)
        places[ends[group[i]]++] = (int32_t)i;
}

#endif
