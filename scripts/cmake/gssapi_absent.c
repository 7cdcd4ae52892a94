/* The functions of GSSAPI (RFC 2744) that libzmq's archive names for a mechanism that Ridgeline, all CURVE, never chooses.
   Kerberos itself would be seven more libraries to install, map and relocate. Arguments are not looked at: the callers'
   calling convention does not mind. */
#include <stddef.h>
#include <stdint.h>

#define GSS_S_UNAVAILABLE (UINT32_C(16) << 16)
#define ABSENT(function)          \
    uint32_t function(void);      \
    uint32_t function(void) {     \
        return GSS_S_UNAVAILABLE; \
    }

ABSENT(gss_accept_sec_context)
ABSENT(gss_acquire_cred)
ABSENT(gss_delete_sec_context)
ABSENT(gss_display_name)
ABSENT(gss_import_name)
ABSENT(gss_init_sec_context)
ABSENT(gss_release_buffer)
ABSENT(gss_release_cred)
ABSENT(gss_release_name)
ABSENT(gss_unwrap)
ABSENT(gss_wrap)

extern const void* const GSS_C_NT_HOSTBASED_SERVICE;
extern const void* const GSS_C_NT_USER_NAME;
const void* const GSS_C_NT_HOSTBASED_SERVICE = NULL;
const void* const GSS_C_NT_USER_NAME = NULL;
