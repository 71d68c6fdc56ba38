/* Rows of windows to their statistics: count, sum, moments, edges, quantile bins. */
#include "kernels.h"

#define BITS 11 /* of one pass of the radix sort */
#define DIGITS (1 << BITS)

typedef struct {
    const int64_t *times;
    const int32_t *rank, *row;
} places_t;

/* Does row i stand before row j: by time, sequence number, row, and, of equals, as they came? */
static inline int before(const places_t *at, int64_t i, int64_t j)
{
    if (at->times[i] != at->times[j])
        return at->times[i] < at->times[j];
    if (at->rank[i] != at->rank[j])
        return at->rank[i] < at->rank[j];
    if (at->row[i] != at->row[j])
        return at->row[i] < at->row[j];
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

/* Put n rows in order of their keys (low to low + span), least significant digit first; rows of equal keys
 * keep their order. room: n more. Returns where they are then: rows or room. */
static int32_t *ordered(int32_t *rows, int64_t n, const int32_t *keys, int32_t low, int64_t span, int32_t *room)
{
    int64_t starts[DIGITS + 1];
    for (int shift = 0; span >> shift > 0; shift += BITS) {
        for (int64_t digit = 0; digit <= DIGITS; digit++)
            starts[digit] = 0;
        for (int64_t i = 0; i < n; i++)
            starts[(((int64_t)keys[rows[i]] - low) >> shift & (DIGITS - 1)) + 1]++;
        for (int64_t digit = 0; digit < DIGITS; digit++)
            starts[digit + 1] += starts[digit];
        for (int64_t i = 0; i < n; i++)
            room[starts[((int64_t)keys[rows[i]] - low) >> shift & (DIGITS - 1)]++] = rows[i];
        int32_t *other = rows;
        rows = room;
        room = other;
    }
    return rows;
}

/* Bins of n windows: keys that are sorted by window, where those of each end, counted. Returns how many there are. */
static int64_t lists(int64_t n, const int64_t *ends, const int32_t *sorted, int64_t most, int64_t *lengths,
                     int64_t *keys, int64_t *counts)
{
    int64_t found = 0, at = 0;
    for (int64_t g = 0; g < n; g++) {
        int64_t distinct = 0, *own = keys + found, *held = counts + found;
        for (; at < ends[g]; at++) {
            if (distinct && own[distinct - 1] == sorted[at]) {
                held[distinct - 1]++;
            } else {
                own[distinct] = sorted[at];
                held[distinct++] = 1;
            }
        }
        lengths[g] = collapsed(distinct, most, own, held);
        found += lengths[g];
    }
    return found;
}

/* What is known of a window on the way: what a row changes lies together. */
typedef struct {
    double sum, low, high, mean, off, m2;
    int64_t any, size, count, first, last, first_time, last_time, opened;
} window_t;

/* One pass over the rows: all but the moments. */
static void take(int64_t rows, const int64_t *group, const double *values, const places_t *at, const int32_t *opened,
                 window_t *windows)
{
    for (int64_t i = 0; i < rows; i++) {
        window_t *of = windows + group[i];
        double value = values[i] + 0.0; /* no negative zeros: of two equal values it would matter which */
        int64_t time = at->times[i];
        of->any = i;
        of->size++;
        if (opened && opened[i] < of->opened)
            of->opened = opened[i];
        if (value != value)
            continue;
        of->count++;
        of->sum += value;
        of->low = value < of->low ? value : of->low;
        of->high = value > of->high ? value : of->high;
        /* by assignments without branches: which row is the latest so far cannot be foretold */
        int sooner = time < of->first_time, later = time > of->last_time;
        of->first_time = sooner ? time : of->first_time;
        of->first = sooner ? i : of->first;
        of->last_time = later ? time : of->last_time;
        of->last = later ? i : of->last;
        if (time == of->first_time && of->first != i && before(at, i, of->first))
            of->first = i;
        if (time == of->last_time && of->last != i && !before(at, i, of->last))
            of->last = i;
    }
}

/* Mean, its rest and m2 by the corrected two-pass algorithm (Chan, Golub, LeVeque 1983): a second pass over the
 * deviations takes back what rounding lost in the mean. */
static void moments(int64_t rows, const int64_t *group, const double *values, int64_t n, window_t *windows,
                    double *real)
{
    for (int64_t g = 0; g < n; g++)
        windows[g].mean = windows[g].sum / (double)windows[g].count; /* NaN without a value */
    for (int64_t i = 0; i < rows; i++) {
        window_t *of = windows + group[i];
        double away = values[i] - of->mean;
        if (values[i] != values[i])
            continue;
        of->off += away;
        of->m2 += away * away;
    }
    for (int64_t g = 0; g < n; g++) {
        const window_t *of = windows + g;
        double shift = of->count ? of->off / (double)of->count : 0, squares = of->m2 - (double)of->count * shift * shift;
        real[M2 * n + g] = squares < 0 ? 0 : squares;
        mean_of(of->mean, shift, &real[MEAN * n + g], &real[MEAN_LOW * n + g]);
    }
}

/* Keys of all values, those of one window together and in order; starts: where those of each begin, and then end. */
static void sort_keys(int64_t rows, const int64_t *group, const double *values, const double *logs, double inverse,
                      int32_t offset, int64_t *starts, int32_t *sorted, int32_t *room)
{
    int32_t *keys = room, *places = room + rows, low = INT32_MAX, high = INT32_MIN;
    int64_t n = 0;
    for (int64_t i = 0; i < rows; i++) {
        if (values[i] != values[i])
            continue;
        int32_t key = keys[i] = key_of(values[i], logs[i], inverse, offset);
        places[n++] = (int32_t)i;
        low = key < low ? key : low;
        high = key > high ? key : high;
    }
    places = ordered(places, n, keys, low, (int64_t)high - low, sorted);
    if (places == sorted) { /* the keys are to stand there */
        places = room + rows;
        for (int64_t i = 0; i < n; i++)
            places[i] = sorted[i];
    }
    for (int64_t i = 0; i < n; i++)
        sorted[starts[group[places[i]]]++] = keys[places[i]];
}

/* What is asked of the windows. */
typedef struct {
    int64_t width_us, watermark_us; /* NO_TIME for no watermark */
    double error, inverse;          /* of the bins: see bins.scale_of */
    int64_t offset, most;
} asked_t;

/* Windows to columns. */
static void put(int64_t n, const window_t *windows, const double *values, const int64_t *times, const int32_t *row,
                const asked_t *asked, int64_t *whole, double *real)
{
    for (int64_t g = 0; g < n; g++) {
        const window_t *of = windows + g;
        int64_t into = times[of->any] % asked->width_us, some = of->count != 0;
        int64_t start = times[of->any] - into - (into < 0 ? asked->width_us : 0);
        double none = __builtin_nan("");
        whole[COUNT * n + g] = of->count;
        whole[MISSING * n + g] = of->size - of->count;
        whole[LATE * n + g] = asked->watermark_us >= start + asked->width_us ? of->size : 0;
        whole[FIRST_TIME * n + g] = some ? times[of->first] : NO_TIME;
        whole[FIRST_ROW * n + g] = some ? row[of->first] : -1;
        whole[LAST_TIME * n + g] = some ? times[of->last] : NO_TIME;
        whole[LAST_ROW * n + g] = some ? row[of->last] : -1;
        whole[WINDOW_START * n + g] = start;
        whole[WIDTH_S * n + g] = asked->width_us / 1000000;
        real[SUM * n + g] = of->sum;
        real[MIN * n + g] = some ? of->low : none;
        real[MAX * n + g] = some ? of->high : none;
        real[FIRST * n + g] = some ? values[of->first] + 0.0 : none;
        real[LAST * n + g] = some ? values[of->last] + 0.0 : none;
        real[BIN_ERROR * n + g] = asked->error;
    }
}

/* rows rows in n windows (group of each: 0 to n - 1, none is empty) to
 *   picks[5][n]: any row, first row, last row (-1 without a value), lowest `opened`, how many bins
 *   whole[WHOLE][n], real[REAL][n]
 *   keys, counts: of the bins, one list below the other; room for rows of each
 * A value that is NaN is none. logs: of the values' magnitudes, or null for no bins. opened: or null.
 * room: 15 * n numbers and 3 * rows of half the size. At most 2^31 rows. Returns how many bins there are. */
EXPORT int64_t levada_rows(int64_t rows, int64_t n, const int64_t *group, const double *values, const double *logs,
                           const int64_t *times, const int32_t *rank, const int32_t *row, const int32_t *opened,
                           const asked_t *asked, int64_t *picks, int64_t *whole, double *real, int64_t *keys,
                           int64_t *counts, int64_t *room)
{
    window_t *windows = (window_t *)room;
    int64_t *ends = room + 14 * n, *lengths = picks + 4 * n;
    int32_t *sorted = (int32_t *)(ends + n);
    const places_t at = {times, rank, row};

    for (int64_t g = 0; g < n; g++)
        windows[g] = (window_t){.low = __builtin_inf(), .high = -__builtin_inf(), .first = -1, .last = -1,
                                .first_time = INT64_MAX, .last_time = INT64_MIN, .opened = INT64_MAX};
    take(rows, group, values, &at, opened, windows);
    moments(rows, group, values, n, windows, real);
    put(n, windows, values, times, row, asked, whole, real);
    for (int64_t g = 0, start = 0; g < n; g++) {
        const window_t *of = windows + g;
        const int64_t found[] = {of->any, of->first, of->last, of->opened, 0};
        for (int k = 0; k < 5; k++)
            picks[k * n + g] = found[k];
        ends[g] = start;
        start += of->count;
    }
    if (!logs)
        return 0;
    sort_keys(rows, group, values, logs, asked->inverse, (int32_t)asked->offset, ends, sorted, sorted + rows);
    return lists(n, ends, sorted, asked->most, lengths, keys, counts);
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
        /* a division is three times as slow; what rounding makes of this is off by one at most */
        int64_t window = (int64_t)((double)times[i] * inverse), rest = times[i] - window * width_us;
        window += (rest >= width_us) - (rest < 0);
        group[i] = window;
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
