/* Columns of whole numbers to few bytes and back: each number as its distance from the column's lowest. */
#include "kernels.h"

typedef struct {
    const void *values;
    int64_t n, size; /* how many; bytes of each: 4 or 8 */
} given_t;

typedef struct {
    int64_t lowest, size, start; /* bytes of each number, 0 where all are the lowest; where the first one stands */
} packed_t;

typedef struct {
    int64_t n, bytes, lowest, size; /* how many; of its body; what is added to each; bytes of each: 0, 1, 2, 4 or 8 */
} stored_t;

/* Lowest and highest. The loops below read and write numbers of one type at wherever they stand. */
#define BOUNDS(NAME, TYPE)                                                                                             \
    static void NAME(const TYPE *values, int64_t n, int64_t *low, int64_t *high)                                       \
    {                                                                                                                  \
        TYPE least = values[0], most = values[0];                                                                      \
        for (int64_t i = 1; i < n; i++) {                                                                              \
            least = values[i] < least ? values[i] : least;                                                             \
            most = values[i] > most ? values[i] : most;                                                                \
        }                                                                                                              \
        *low = least;                                                                                                  \
        *high = most;                                                                                                  \
    }

#define NARROW(NAME, FROM, TO)                                                                                         \
    static void NAME(const FROM *values, int64_t n, int64_t low, uint8_t *out)                                         \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            TO number = (TO)((uint64_t)values[i] - (uint64_t)low);                                                     \
            __builtin_memcpy(out + i * (int64_t)sizeof number, &number, sizeof number);                                \
        }                                                                                                              \
    }

#define WIDEN(NAME, FROM, TO)                                                                                          \
    static void NAME(const uint8_t *body, int64_t n, int64_t low, TO *out)                                             \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            FROM number;                                                                                               \
            __builtin_memcpy(&number, body + i * (int64_t)sizeof number, sizeof number);                               \
            out[i] = (TO)((uint64_t)number + (uint64_t)low);                                                           \
        }                                                                                                              \
    }

BOUNDS(bounds8, int64_t)
BOUNDS(bounds4, int32_t)
NARROW(narrow8to8, int64_t, uint64_t)
NARROW(narrow8to4, int64_t, uint32_t)
NARROW(narrow8to2, int64_t, uint16_t)
NARROW(narrow8to1, int64_t, uint8_t)
NARROW(narrow4to4, int32_t, uint32_t)
NARROW(narrow4to2, int32_t, uint16_t)
NARROW(narrow4to1, int32_t, uint8_t)
WIDEN(widen8to8, uint64_t, int64_t)
WIDEN(widen4to8, uint32_t, int64_t)
WIDEN(widen2to8, uint16_t, int64_t)
WIDEN(widen1to8, uint8_t, int64_t)
WIDEN(widen8to4, uint64_t, int32_t)
WIDEN(widen4to4, uint32_t, int32_t)
WIDEN(widen2to4, uint16_t, int32_t)
WIDEN(widen1to4, uint8_t, int32_t)

/* Bytes that a distance takes; 0 for none. */
static int64_t size_of(uint64_t distance)
{
    return !distance ? 0 : distance <= UINT8_MAX ? 1 : distance <= UINT16_MAX ? 2 : distance <= UINT32_MAX ? 4 : 8;
}

static void narrow(const given_t *column, const packed_t *to, uint8_t *out)
{
    const void *values = column->values;
    int64_t n = column->n, low = to->lowest;
    if (column->size == 8) {
        switch (to->size) {
        case 1: narrow8to1(values, n, low, out); break;
        case 2: narrow8to2(values, n, low, out); break;
        case 4: narrow8to4(values, n, low, out); break;
        case 8: narrow8to8(values, n, low, out); break;
        }
        return;
    }
    switch (to->size) {
    case 1: narrow4to1(values, n, low, out); break;
    case 2: narrow4to2(values, n, low, out); break;
    case 4: narrow4to4(values, n, low, out); break;
    }
}

/* Some columns of whole numbers, one behind the other, in as few bytes as they take. found: of each, where it went. What
 * takes 8 bytes is written as it is, with 0 as the lowest. out: room for all of them as they are. Returns how many bytes they take. */
EXPORT int64_t levada_narrow(int64_t columns, const given_t *given, packed_t *found, uint8_t *out)
{
    int64_t at = 0;
    for (int64_t c = 0; c < columns; c++) {
        const given_t *column = given + c;
        packed_t *to = found + c;
        int64_t low = 0, high = 0;
        if (column->n)
            (column->size == 8) ? bounds8(column->values, column->n, &low, &high)
                                : bounds4(column->values, column->n, &low, &high);
        to->size = size_of((uint64_t)high - (uint64_t)low);
        to->lowest = to->size == 8 ? 0 : low;
        to->start = at;
        narrow(column, to, out + at);
        at += to->size * column->n;
    }
    return at;
}

static int64_t widen8(const stored_t *column, const uint8_t *body, int64_t *out)
{
    int64_t n = column->n, low = column->lowest;
    switch (column->size) {
    case 1: widen1to8(body, n, low, out); break;
    case 2: widen2to8(body, n, low, out); break;
    case 4: widen4to8(body, n, low, out); break;
    case 8: widen8to8(body, n, low, out); break;
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = low;
    }
    return n;
}

static int64_t widen4(const stored_t *column, const uint8_t *body, int32_t *out)
{
    int64_t n = column->n, low = column->lowest;
    switch (column->size) {
    case 1: widen1to4(body, n, low, out); break;
    case 2: widen2to4(body, n, low, out); break;
    case 4: widen4to4(body, n, low, out); break;
    case 8: widen8to4(body, n, low, out); break;
    default:
        for (int64_t i = 0; i < n; i++)
            out[i] = (int32_t)low;
    }
    return n;
}

/* Columns as levada_narrow wrote them, one behind the other: the first `wide` in large, the others in small. Returns 0, or
 * which column (from 1 on) has a body that is not as long as it has to be; nothing is written then. */
EXPORT int64_t levada_widen(int64_t columns, int64_t wide, const uint8_t *const *bodies, const stored_t *stored,
                            int64_t *large, int32_t *small)
{
    for (int64_t c = 0; c < columns; c++)
        if (stored[c].n * stored[c].size != stored[c].bytes)
            return c + 1;
    for (int64_t c = 0; c < wide; c++)
        large += widen8(stored + c, bodies[c], large);
    for (int64_t c = wide; c < columns; c++)
        small += widen4(stored + c, bodies[c], small);
    return 0;
}

/* How far the numbers above 0 lie from it but for one, and those below: found[2]; 0 where all have one sign. Returns whether
 * there is such a gap. */
EXPORT int64_t levada_gap(int64_t n, const int64_t *numbers, int64_t *found)
{
    int64_t above = INT64_MAX, below = INT64_MIN;
    for (int64_t i = 0; i < n; i++) {
        int64_t number = numbers[i], positive = number > 0 ? number : INT64_MAX, negative = number < 0 ? number : INT64_MIN;
        above = positive < above ? positive : above;
        below = negative > below ? negative : below;
    }
    int64_t both = above < INT64_MAX && below > INT64_MIN;
    found[0] = both ? above - 1 : 0;
    found[1] = both ? below + 1 : 0;
    return found[0] || found[1];
}

/* Add to the numbers above 0, and to those below. Returns how many there are. */
EXPORT int64_t levada_shift(int64_t n, const int64_t *numbers, int64_t above, int64_t below, int64_t *out)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = numbers[i] + (numbers[i] > 0 ? above : 0) + (numbers[i] < 0 ? below : 0);
    return n;
}
