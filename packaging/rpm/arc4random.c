/* arc4random(3), which glibc has from 2.36 on and libbsd's archive asks for: of the kernel, which never fails once the
   host is up. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

uint32_t arc4random(void);

uint32_t arc4random(void) {
    uint32_t value;
    if (getrandom(&value, sizeof value, 0) != sizeof value) abort();
    return value;
}
