/* Rows of windows to their statistics: count, sum, moments, edges, quantile bins. */
#include "kernels.h"

#define FEW 16 /* values of a window whose keys are put in order by comparing each with each */
#define BITS 8 /* of one pass of the radix sort of more */
#define DIGITS (1 << BITS)

typedef int32_t lanes_t __attribute__((vector_size(16)));

typedef struct {
    const double *values, *logs; /* logs: of the values' magnitudes, or null for no bins */
    const int64_t *times;
    const int32_t *rank, *row, *opened; /* opened: or null */
} rows_t;

/* What is asked of the windows. */
typedef struct {
    int64_t width_us, watermark_us; /* NO_TIME for no watermark */
    double error, inverse;          /* of the bins: see bins.scale_of */
    int64_t offset, most;
} asked_t;

/* What is known of a window. */
typedef struct {
    double sum, low, high;
    int64_t any, size, count, first, last, opened;
} window_t;

/* Does row i stand before row j of the same time: by sequence number, row, and, of equals, as they came? */
static inline int before(const rows_t *in, int64_t i, int64_t j)
{
    if (in->rank[i] != in->rank[j])
        return in->rank[i] < in->rank[j];
    if (in->row[i] != in->row[j])
        return in->row[i] < in->row[j];
    return i < j;
}

/* The key of a value's bin from its magnitude's logarithm, see bins.keys_of. */
static inline int32_t key_of(double value, double logarithm, double inverse, int32_t offset)
{
    double number = logarithm * inverse;
    int32_t key;
    if (value == 0 || number <= -(double)offset)
        return 0;
    if (number > (double)offset) {
        key = 2 * offset;
    } else {
        key = (int32_t)number;
        key += number > (double)key; /* up to the next whole number */
        key += offset;
    }
    return value < 0 ? -key : key;
}

/* Bins of n keys, at most FEW: a key goes to the place before which there are as many places as keys that are less, so that
 * equal ones meet. A sort would branch on what cannot be foretold. keys: FEW of them, all but n are overwritten. Returns how
 * many bins. */
static int64_t few(int32_t *keys, int64_t n, int64_t *own, int64_t *held)
{
    int32_t at[FEW], placed[FEW] = {0}, times[FEW] = {0};
    lanes_t some[FEW / 4], below[FEW / 4] = {{0}};
    int64_t found = 0;
    for (int64_t i = n; i < FEW; i++)
        keys[i] = INT32_MAX;
    __builtin_memcpy(some, keys, sizeof some);
    for (int64_t i = 0; i < n; i++) {
        const lanes_t key = {keys[i], keys[i], keys[i], keys[i]};
        for (int k = 0; k < FEW / 4; k++)
            below[k] -= key < some[k];
    }
    __builtin_memcpy(at, below, sizeof at);
    for (int64_t i = 0; i < n; i++) {
        placed[at[i]] = keys[i];
        times[at[i]]++;
    }
    for (int64_t i = 0; i < n; i++) {
        own[found] = placed[i];
        held[found] = times[i];
        found += times[i] > 0;
    }
    return found;
}

/* The same of any number: a radix sort, least significant digit first. keys: changed; spare: room for n more. */
static int64_t many(int32_t *keys, int64_t n, int32_t *spare, int64_t *own, int64_t *held)
{
    int32_t low = INT32_MAX, high = INT32_MIN;
    int64_t found = 0, starts[DIGITS + 1];
    for (int64_t i = 0; i < n; i++) {
        low = keys[i] < low ? keys[i] : low;
        high = keys[i] > high ? keys[i] : high;
    }
    for (int shift = 0; ((int64_t)high - low) >> shift > 0; shift += BITS) {
        for (int64_t digit = 0; digit <= DIGITS; digit++)
            starts[digit] = 0;
        for (int64_t i = 0; i < n; i++)
            starts[(((int64_t)keys[i] - low) >> shift & (DIGITS - 1)) + 1]++;
        for (int64_t digit = 0; digit < DIGITS; digit++)
            starts[digit + 1] += starts[digit];
        for (int64_t i = 0; i < n; i++)
            spare[starts[((int64_t)keys[i] - low) >> shift & (DIGITS - 1)]++] = keys[i];
        int32_t *other = keys;
        keys = spare;
        spare = other;
    }
    for (int64_t i = 0, start = 0; i < n; i++) {
        if (i + 1 < n && keys[i + 1] == keys[i])
            continue;
        own[found] = keys[i];
        held[found++] = i + 1 - start;
        start = i + 1;
    }
    return found;
}

/* One pass over the rows of a window: all but the moments. there, values: those that have a value, in order. */
static window_t look(const rows_t *in, const int32_t *places, int64_t n, int32_t *there, double *values)
{
    window_t of = {.low = __builtin_inf(), .high = -__builtin_inf(), .any = places[n - 1], .size = n,
                   .first = -1, .last = -1, .opened = INT64_MAX};
    int64_t first_time = INT64_MAX, last_time = INT64_MIN;
    for (int64_t k = 0; in->opened && k < n; k++)
        of.opened = in->opened[places[k]] < of.opened ? in->opened[places[k]] : of.opened;
    for (int64_t k = 0; k < n; k++) {
        int64_t i = places[k], time = in->times[i];
        double value = in->values[i] + 0.0; /* no negative zeros: of two equal values it would matter which */
        if (value != value)
            continue;
        there[of.count] = (int32_t)i;
        values[of.count++] = value;
        of.sum += value;
        of.low = value < of.low ? value : of.low;
        of.high = value > of.high ? value : of.high;
        /* by assignments without branches: which row is the latest so far cannot be foretold; that two are at once can */
        int sooner = time < first_time, later = time > last_time;
        int tied = of.first >= 0 && (time == first_time || time == last_time);
        if (tied) {
            of.first = time == first_time && before(in, i, of.first) ? i : of.first;
            of.last = time == last_time && !before(in, i, of.last) ? i : of.last;
        }
        first_time = sooner ? time : first_time;
        of.first = sooner ? i : of.first;
        last_time = later ? time : last_time;
        of.last = later ? i : of.last;
    }
    return of;
}

/* Mean, its rest and m2 by the corrected two-pass algorithm (Chan, Golub, LeVeque 1983): a second pass over the
 * deviations takes back what rounding lost in the mean. And the keys of the bins, if any are asked for.
 * there, values: as look found them; out: mean, rest, m2. */
static void moments(const window_t *of, const rows_t *in, const int32_t *there, const double *values,
                    const asked_t *asked, int32_t *keys, double *const out[3])
{
    double middle = of->sum / (double)of->count, off = 0, squares = 0; /* NaN without a value */
    for (int64_t i = 0; i < of->count; i++) {
        double away = values[i] - middle;
        off += away;
        squares += away * away;
        if (in->logs)
            keys[i] = key_of(values[i], in->logs[there[i]], asked->inverse, (int32_t)asked->offset);
    }
    double shift = of->count ? off / (double)of->count : 0;
    squares -= (double)of->count * shift * shift;
    mean_of(middle, shift, out[0], out[1]);
    *out[2] = squares < 0 ? 0 : squares;
}

/* Number of the window that a time lies in. A division is three times as slow; what rounding makes of this is off by one at
 * most. inverse: 1 / width_us. */
static inline int64_t window_of(int64_t time, int64_t width_us, double inverse)
{
    int64_t window = (int64_t)((double)time * inverse), rest = time - window * width_us;
    return window + (rest >= width_us) - (rest < 0);
}

/* Window g of n to its columns. */
static void put(const window_t *of, int64_t g, int64_t n, const rows_t *in, const asked_t *asked, int64_t *whole,
                double *real)
{
    int64_t some = of->count != 0, any = in->times[of->any];
    int64_t start = window_of(any, asked->width_us, 1.0 / (double)asked->width_us) * asked->width_us;
    double none = __builtin_nan("");
    whole[COUNT * n + g] = of->count;
    whole[MISSING * n + g] = of->size - of->count;
    whole[LATE * n + g] = asked->watermark_us >= start + asked->width_us ? of->size : 0;
    whole[FIRST_TIME * n + g] = some ? in->times[of->first] : NO_TIME;
    whole[FIRST_ROW * n + g] = some ? in->row[of->first] : -1;
    whole[LAST_TIME * n + g] = some ? in->times[of->last] : NO_TIME;
    whole[LAST_ROW * n + g] = some ? in->row[of->last] : -1;
    whole[WINDOW_START * n + g] = start;
    whole[WIDTH_S * n + g] = asked->width_us / 1000000;
    real[SUM * n + g] = of->sum;
    real[MIN * n + g] = some ? of->low : none;
    real[MAX * n + g] = some ? of->high : none;
    real[FIRST * n + g] = some ? in->values[of->first] + 0.0 : none;
    real[LAST * n + g] = some ? in->values[of->last] + 0.0 : none;
    real[BIN_ERROR * n + g] = asked->error;
}

/* rows rows in n windows (group of each: 0 to n - 1, none is empty) to
 *   picks[5][n]: any row, first row, last row (-1 without a value), lowest `opened`, how many bins
 *   whole[WHOLE][n], real[REAL][n]
 *   keys, counts: of the bins, one list below the other; room for rows of each
 * A value that is NaN is none. logs: of the values' magnitudes, or null for no bins. opened: or null.
 * room: n + rows numbers, and 4 * rows + FEW of half the size. At most 2^31 rows. Returns how many bins there are. */
EXPORT int64_t levada_rows(int64_t rows, int64_t n, const int64_t *group, const double *values, const double *logs,
                           const int64_t *times, const int32_t *rank, const int32_t *row, const int32_t *opened,
                           const asked_t *asked, int64_t *picks, int64_t *whole, double *real, int64_t *keys,
                           int64_t *counts, int64_t *room)
{
    const rows_t in = {values, logs, times, rank, row, opened};
    int64_t *ends = room, found = 0;
    double *held = (double *)(ends + n);
    int32_t *places = (int32_t *)(held + rows), *there = places + rows, *own = there + rows, *spare = own + rows + FEW;

    by_window(rows, n, group, ends, places);
    for (int64_t g = 0, start = 0; g < n; start = ends[g++]) {
        const window_t of = look(&in, places + start, ends[g] - start, there, held);
        int64_t bins = 0;
        moments(&of, &in, there, held, asked, own,
                (double *[]){real + MEAN * n + g, real + MEAN_LOW * n + g, real + M2 * n + g});
        put(&of, g, n, &in, asked, whole, real);
        if (logs)
            bins = of.count <= FEW ? few(own, of.count, keys + found, counts + found)
                                   : many(own, of.count, spare, keys + found, counts + found);
        bins = collapsed(bins, asked->most, keys + found, counts + found);
        const int64_t made[] = {of.any, of.first, of.last, of.opened, bins};
        for (int k = 0; k < 5; k++)
            picks[k * n + g] = made[k];
        found += bins;
    }
    return found;
}

/* Group of each of n rows: equal for equal (window, series), numbered by window and then series. series: codes in
 * [0, bound), or null for one series. table: room for `places` numbers. Returns how many groups there are; -1 where all
 * possible ones are more than places. */
EXPORT int64_t levada_groups(int64_t n, const int64_t *times, int64_t width_us, const int64_t *series, int64_t bound,
                             int64_t places, int64_t *group, int32_t *table)
{
    int64_t low = INT64_MAX, high = INT64_MIN, found = 0;
    double inverse = 1.0 / (double)width_us;
    for (int64_t i = 0; i < n; i++) {
        int64_t window = group[i] = window_of(times[i], width_us, inverse);
        low = window < low ? window : low;
        high = window > high ? window : high;
    }
    if (high - low >= places / bound)
        return -1;
    int64_t codes = (high - low + 1) * bound;
    for (int64_t code = 0; code < codes; code++)
        table[code] = 0;
    for (int64_t i = 0; i < n; i++) {
        group[i] = (group[i] - low) * bound + (series ? series[i] : 0);
        table[group[i]] = 1;
    }
    for (int64_t code = 0; code < codes; code++) {
        int32_t there = table[code];
        table[code] = (int32_t)found;
        found += there;
    }
    for (int64_t i = 0; i < n; i++)
        group[i] = table[group[i]];
    return found;
}
