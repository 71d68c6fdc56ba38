/* Partials of the same windows to one partial each. */
#include "kernels.h"

enum { FIRST_RANK, LAST_RANK, OPENED_RANK };

typedef struct {
    int64_t parts;
    const int64_t *whole; /* [WHOLE][parts] */
    const double *real;   /* [REAL][parts] */
    const int32_t *ranks; /* [3][parts]: of the sequence numbers */
} partials_t;

static uint64_t bits(double value)
{
    union {
        double value;
        uint64_t bits;
    } both = {value};
    return both.bits;
}

/* An order of partials that follows from what is summed up, so that no sum depends on how they came. Those that agree in
 * all of it may stand in any order. */
static int ordered(const partials_t *in, int64_t i, int64_t j)
{
    static const int by[] = {SUM, MEAN, MEAN_LOW, M2};
    const int64_t *count = in->whole + COUNT * in->parts;
    if (count[i] != count[j])
        return count[i] < count[j];
    for (int k = 0; k < 4; k++) {
        const double *values = in->real + by[k] * in->parts;
        uint64_t a = bits(values[i]), b = bits(values[j]);
        if (a != b)
            return a < b;
    }
    return 1;
}

/* By heap: few are the rule, and many must not take long. */
static void settle(const partials_t *in, int32_t *places, int64_t n)
{
    for (int64_t start = n / 2, end = n; end > 1;) {
        if (start) {
            start--;
        } else {
            int64_t top = places[--end];
            places[end] = places[0];
            places[0] = top;
        }
        for (int64_t at = start;;) {
            int64_t below = 2 * at + 1;
            if (below >= end)
                break;
            if (below + 1 < end && !ordered(in, places[below + 1], places[below]))
                below++;
            if (ordered(in, places[below], places[at]))
                break;
            int64_t one = places[at];
            places[at] = places[below];
            places[below] = one;
            at = below;
        }
    }
}

/* Sums and moments of one window, by the formula of Chan et al. Means are looked at as what they differ by from the
 * lowest one, so that large ones that hardly differ keep their digits. */
static void moments(const partials_t *in, const int32_t *places, int64_t n, int64_t total, double *out[REAL], int64_t g)
{
    const double *mean = in->real + MEAN * in->parts, *low = in->real + MEAN_LOW * in->parts;
    const double *m2 = in->real + M2 * in->parts, *sum = in->real + SUM * in->parts;
    const int64_t *count = in->whole + COUNT * in->parts;
    double base = __builtin_nan(""), shift = 0, squares = 0, added = 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t i = places[k];
        added += sum[i];
        if (count[i] && !(base <= mean[i]))
            base = mean[i];
    }
    out[SUM][g] = added;
    out[MEAN][g] = base;
    out[MEAN_LOW][g] = out[M2][g] = 0;
    if (!total)
        return;
    for (int64_t k = 0; k < n; k++) {
        int64_t i = places[k];
        if (count[i])
            shift += (double)count[i] * ((mean[i] - base) + low[i]);
    }
    shift /= (double)total;
    for (int64_t k = 0; k < n; k++) {
        int64_t i = places[k];
        if (!count[i])
            continue;
        double off = ((mean[i] - base) + low[i]) - shift;
        squares += m2[i] + (double)count[i] * off * off;
    }
    out[M2][g] = squares;
    mean_of(base, shift, &out[MEAN][g], &out[MEAN_LOW][g]);
}

/* Does partial i come before j, by time, rank and row of its first value, or of its last? */
static int before(const partials_t *in, int time, int rank, int row, int64_t i, int64_t j)
{
    const int64_t *times = in->whole + time * in->parts, *rows = in->whole + row * in->parts;
    const int32_t *ranks = in->ranks + rank * in->parts;
    if (times[i] != times[j])
        return times[i] < times[j];
    return ranks[i] != ranks[j] ? ranks[i] < ranks[j] : rows[i] < rows[j];
}

typedef struct {
    int64_t first, last, opener;
} picks_t;

/* Which partials of a window have its first and its last value, and which opened it. */
static picks_t pick(const partials_t *in, const int32_t *places, int64_t n)
{
    const int64_t *first_time = in->whole + FIRST_TIME * in->parts;
    const int32_t *opened = in->ranks + OPENED_RANK * in->parts;
    picks_t found = {places[0], places[0], places[0]};
    for (int64_t k = 1; k < n; k++) {
        int64_t i = places[k];
        if (first_time[i] != NO_TIME &&
            (first_time[found.first] == NO_TIME || before(in, FIRST_TIME, FIRST_RANK, FIRST_ROW, i, found.first)))
            found.first = i;
        if (before(in, LAST_TIME, LAST_RANK, LAST_ROW, found.last, i)) /* no time is the lowest of all */
            found.last = i;
        if (opened[i] < opened[found.opener])
            found.opener = i;
    }
    return found;
}

/* All numbers of window g. */
static picks_t numbers(const partials_t *in, int32_t *places, int64_t n, int64_t g, int64_t windows, int64_t *whole,
                       double *real)
{
    double *out[REAL], low = in->real[MIN * in->parts + places[0]], high = in->real[MAX * in->parts + places[0]];
    const picks_t found = pick(in, places, n);
    for (int k = 0; k < REAL; k++)
        out[k] = real + k * windows;
    for (int k = COUNT; k <= LATE; k++) {
        int64_t total = 0;
        for (int64_t i = 0; i < n; i++)
            total += in->whole[k * in->parts + places[i]];
        whole[k * windows + g] = total;
    }
    for (int64_t i = 1; i < n; i++) {
        double a = in->real[MIN * in->parts + places[i]], b = in->real[MAX * in->parts + places[i]];
        low = low <= a || a != a ? low : a;
        high = high >= b || b != b ? high : b;
    }
    out[MIN][g] = low;
    out[MAX][g] = high;
    out[FIRST][g] = in->real[FIRST * in->parts + found.first];
    out[LAST][g] = in->real[LAST * in->parts + found.last];
    out[BIN_ERROR][g] = in->real[BIN_ERROR * in->parts + places[0]];
    for (int k = FIRST_TIME; k <= FIRST_ROW; k++)
        whole[k * windows + g] = in->whole[k * in->parts + found.first];
    for (int k = LAST_TIME; k <= LAST_ROW; k++)
        whole[k * windows + g] = in->whole[k * in->parts + found.last];
    for (int k = WINDOW_START; k <= WIDTH_S; k++)
        whole[k * windows + g] = in->whole[k * in->parts + places[0]];
    if (n > 2) /* two numbers add up to the same either way round */
        settle(in, places, n);
    moments(in, places, n, whole[COUNT * windows + g], out, g);
    return found;
}

typedef struct {
    int64_t *keys, *counts;
} bins_t;

/* Two lists in order to one; of equal keys the counts add up. Returns its length. */
static int64_t joined(bins_t one, int64_t n, bins_t other, int64_t m, bins_t out)
{
    int64_t i = 0, j = 0, found = 0;
    while (i < n && j < m) { /* which of two keys is less cannot be foretold: no branch */
        int64_t a = one.keys[i], b = other.keys[j], take = a <= b, also = b <= a;
        out.keys[found] = take ? a : b;
        out.counts[found++] = (one.counts[i] & -take) + (other.counts[j] & -also);
        i += take;
        j += also;
    }
    for (; i < n; i++) {
        out.keys[found] = one.keys[i];
        out.counts[found++] = one.counts[i];
    }
    for (; j < m; j++) {
        out.keys[found] = other.keys[j];
        out.counts[found++] = other.counts[j];
    }
    return found;
}

/* Bins of one window: the lists of its n partials, which begin at starts, put together. Returns how many. */
static int64_t together(const int32_t *places, int64_t n, const int64_t *starts, bins_t all, bins_t room, int64_t bins,
                        int64_t most, bins_t out)
{
    bins_t spare = {room.keys + 2 * bins, room.counts + 2 * bins}, from = all, to = room;
    int64_t first = starts[places[0]], m = starts[places[0] + 1] - first;
    from = (bins_t){all.keys + first, all.counts + first};
    for (int64_t k = 1; k < n; k++) {
        int64_t start = starts[places[k]], length = starts[places[k] + 1] - start;
        bins_t other = {all.keys + start, all.counts + start};
        to = k == n - 1 ? out : k % 2 ? room : spare;
        m = joined(from, m, other, length, to);
        from = to;
    }
    if (n == 1)
        for (int64_t i = 0; i < m; i++) {
            out.keys[i] = from.keys[i];
            out.counts[i] = from.counts[i];
        }
    return collapsed(m, most, out.keys, out.counts);
}

/* parts partials of windows windows (group of each: 0 to windows - 1, none is empty) to
 *   picks[5][windows]: any partial, which has the first value, the last one, the lowest `opened`, how many bins
 *   out_whole[WHOLE][windows], out_real[REAL][windows], out_keys, out_counts (room for all bins)
 * known: which partials' bins count, or null for all. bins: how many there are.
 * room: 4 * bins + windows + parts + 1 numbers, and parts of half the size. At most 2^31 parts. Returns how many bins there are in the end. */
EXPORT int64_t levada_merge(int64_t parts, int64_t windows, const int64_t *group, const int64_t *whole,
                            const double *real, const int32_t *ranks, const int64_t *lengths, int64_t *keys,
                            int64_t *counts, const uint8_t *known, int64_t bins, int64_t most, int64_t *picks,
                            int64_t *out_whole, double *out_real, int64_t *out_keys, int64_t *out_counts, int64_t *room)
{
    const partials_t in = {parts, whole, real, ranks};
    const bins_t all = {keys, counts}, scratch = {room, room + bins};
    int64_t *ends = room + 4 * bins, *starts = ends + windows, found = 0;
    int32_t *places = (int32_t *)(starts + parts + 1);

    by_window(parts, windows, group, ends, places);
    starts[0] = 0;
    for (int64_t i = 0; i < parts; i++)
        starts[i + 1] = starts[i] + lengths[i];
    for (int64_t g = 0, start = 0; g < windows; start = ends[g++]) {
        int32_t *own = places + start;
        int64_t n = ends[g] - start, held = 0;
        bins_t left = {out_keys + found, out_counts + found};
        picks_t which = numbers(&in, own, n, g, windows, out_whole, out_real);
        if (!known || known[own[0]])
            held = together(own, n, starts, all, scratch, bins, most, left);
        const int64_t made[] = {own[0], which.first, which.last, which.opener, held};
        for (int k = 0; k < 5; k++)
            picks[k * windows + g] = made[k];
        found += held;
    }
    return found;
}
