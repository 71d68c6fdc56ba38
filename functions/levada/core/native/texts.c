/* Columns of text to numbers and times where the text is plain; a row that is neither that nor surely wrong is named, for
 * others to read. */
#include "kernels.h"

#define MOST_DIGITS 18 /* of a whole number that 64 bits hold */

enum { WRONG = -1, ODD, TAKEN };
enum { YEAR, MONTH, DAY, HOUR, MINUTE, SECOND, PARTS, SURE = PARTS, LEAST };

static const double POWERS[] = {1e0, 1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};

/* A letter other than e stands in no number, however it is written. */
static int without_number(const uint8_t *at, const uint8_t *end)
{
    for (; at < end; at++) {
        uint8_t letter = (uint8_t)((*at | 32) - 'a');
        if (letter < 26 && letter != 'e' - 'a')
            return WRONG;
    }
    return ODD;
}

/* [-]digits[.digits] whose digits make a number of at most 2^53: it and the power of ten are exact as doubles, so their
 * quotient is the double nearest to the text. Source: Clinger, How to Read Floating Point Numbers Accurately, 1990. */
static int decimal(const uint8_t *text, const uint8_t *end, const uint8_t *form, int64_t width, void *out)
{
    (void)form, (void)width;
    int minus = text < end && *text == '-';
    const uint8_t *begin = text + minus, *point = 0;
    uint64_t number = 0;
    if (end - begin > MOST_DIGITS + 1)
        return without_number(text, end);
    for (const uint8_t *at = begin; at < end; at++) {
        uint8_t digit = (uint8_t)(*at - '0');
        if (digit <= 9)
            number = 10 * number + digit;
        else if (*at == '.' && !point && at > begin)
            point = at + 1;
        else
            return without_number(text, end);
    }
    int64_t digits = end - begin - (point != 0);
    if (digits < 1 || digits > MOST_DIGITS || point == end || number > (uint64_t)1 << 53)
        return ODD;
    double value = (double)number / POWERS[point ? end - point : 0];
    *(double *)out = minus ? -value : value;
    return TAKEN;
}

/* Days since 1970-01-01 of a day in the Gregorian calendar. Source: Hinnant, chrono-Compatible Low-Level Date Algorithms,
 * days_from_civil; for years above 0. */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400, in_era = year % 400;
    int64_t in_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

typedef uint8_t block_t __attribute__((vector_size(16)));

static block_t load(const uint8_t *at)
{
    block_t out;
    __builtin_memcpy(&out, at, sizeof out);
    return out;
}

/* Does one of 16 bytes lie below its least, or more above it than it may? */
static int strays(const uint8_t *at, const uint8_t *least, const uint8_t *above)
{
    uint64_t found[2];
    block_t wrong = (block_t)(load(at) - load(least) > load(above));
    __builtin_memcpy(found, &wrong, sizeof found);
    return (found[0] | found[1]) != 0;
}

/* The same of `width` bytes; of 16 and more the last 16 are looked at as one, though some were before. */
static int any_strays(const uint8_t *at, const uint8_t *least, const uint8_t *above, int64_t width)
{
    int64_t i = 0;
    int wrong = 0;
    for (; i + 16 <= width; i += 16)
        wrong |= strays(at + i, least + i, above + i);
    if (width >= 16 && i < width) {
        wrong |= strays(at + width - 16, least + width - 16, above + width - 16);
        i = width;
    }
    for (; i < width; i++)
        wrong |= (uint8_t)(at[i] - least[i]) > above[i];
    return wrong;
}

static int64_t two(const uint8_t *at)
{
    return 10 * (at[0] - '0') + (at[1] - '0');
}

/* A time of the years 1000 to 9999 with all its digits, in microseconds. The form: where year, month, day, hour, minute and
 * second stand (255: nowhere, 0 then); is a text of this form with a day that its month lacks surely no time; the least of
 * each of `width` bytes; how far above it each may lie. */
static int moment(const uint8_t *at, const uint8_t *end, const uint8_t *form, int64_t width, void *out)
{
    static const uint8_t LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const uint8_t *least = form + LEAST, *above = least + width;
    int64_t part[PARTS];
    if (end - at != width || any_strays(at, least, above, width))
        return ODD;
    for (int i = 0; i < PARTS; i++)
        part[i] = form[i] < width ? two(at + form[i]) : 0;
    int64_t year = 100 * part[YEAR] + two(at + form[YEAR] + 2), month = part[MONTH], day = part[DAY];
    if (year < 1000 || month < 1 || month > 12 || day < 1 || day > 31 || part[HOUR] > 23 || part[MINUTE] > 59 ||
        part[SECOND] > 59)
        return ODD;
    int leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > LENGTHS[month - 1] + leap)
        return form[SURE] ? WRONG : ODD;
    int64_t seconds = 60 * (60 * part[HOUR] + part[MINUTE]) + part[SECOND];
    *(int64_t *)out = 1000000 * (86400 * days(year, month, day) + seconds);
    return TAKEN;
}

/* Read n texts of an Arrow column, given by its buffers from its first row on; valid (or null: all are) has bit `first` for that.
 *
 * out: n of 8 bytes, 0 where there is none. known, wrong: n bits each, those of the rows that were read, and of text that is none.
 * odd: room for `most`, the rows that are neither read nor null nor wrong. Returns how many these are; more than `most` as soon as
 * there are, and the rest is not read. */
#define READ(NAME, ONE)                                                                                                \
    EXPORT int64_t NAME(int64_t n, const int32_t *offsets, const uint8_t *text, const uint8_t *valid, int64_t first,    \
                        const uint8_t *form, int64_t width, int64_t most, int64_t *out, uint8_t *known, uint8_t *wrong, \
                        int32_t *odd)                                                                                  \
    {                                                                                                                  \
        int64_t odds = 0;                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            int there = !valid || (valid[(first + i) >> 3] >> ((first + i) & 7) & 1);                                  \
            if (i % 8 == 0)                                                                                            \
                known[i >> 3] = wrong[i >> 3] = 0;                                                                     \
            out[i] = 0;                                                                                                \
            if (!there)                                                                                                \
                continue;                                                                                              \
            int found = ONE(text + offsets[i], text + offsets[i + 1], form, width, out + i);                           \
            if (found == TAKEN) {                                                                                      \
                known[i >> 3] |= (uint8_t)(1 << (i & 7));                                                              \
            } else if (found == WRONG) {                                                                               \
                wrong[i >> 3] |= (uint8_t)(1 << (i & 7));                                                              \
            } else {                                                                                                   \
                if (odds == most)                                                                                      \
                    return most + 1;                                                                                   \
                odd[odds++] = (int32_t)i;                                                                              \
            }                                                                                                          \
        }                                                                                                              \
        return odds;                                                                                                   \
    }

READ(levada_decimals, decimal)
READ(levada_moments, moment)
