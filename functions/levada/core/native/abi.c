#include "kernels.h"

/* One more with every change of an exported function: a library of another age is refused when it is loaded. */
EXPORT int64_t levada_abi(void)
{
    return 2;
}

/* Of which C this library was made (functions/kernels.py passes it): where the C lies beside, it must be the same. */
EXPORT int64_t levada_sources(void)
{
    return LEVADA_SOURCES;
}
