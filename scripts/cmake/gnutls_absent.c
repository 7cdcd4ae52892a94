/* The functions of GnuTLS that libmicrohttpd's archive names for HTTPS, which the collector does not serve: it answers on
   loopback, or behind a proxy. GnuTLS itself would be seven more libraries, in versions that differ from one distribution
   to the next. Arguments are not looked at: the callers' calling convention does not mind. */
#include <stddef.h>

#define GNUTLS_E_UNIMPLEMENTED_FEATURE (-1250)
#define ABSENT(function)                       \
    int function(void);                        \
    int function(void) {                       \
        return GNUTLS_E_UNIMPLEMENTED_FEATURE; \
    }

ABSENT(gnutls_alpn_set_protocols)
ABSENT(gnutls_bye)
ABSENT(gnutls_certificate_allocate_credentials)
ABSENT(gnutls_certificate_free_credentials)
ABSENT(gnutls_certificate_server_set_request)
ABSENT(gnutls_certificate_set_dh_params)
ABSENT(gnutls_certificate_set_retrieve_function2)
ABSENT(gnutls_certificate_set_retrieve_function3)
ABSENT(gnutls_certificate_set_x509_key_mem)
ABSENT(gnutls_certificate_set_x509_key_mem2)
ABSENT(gnutls_certificate_set_x509_trust_mem)
ABSENT(gnutls_cipher_get)
ABSENT(gnutls_credentials_set)
ABSENT(gnutls_deinit)
ABSENT(gnutls_dh_params_deinit)
ABSENT(gnutls_dh_params_import_pkcs3)
ABSENT(gnutls_dh_params_init)
ABSENT(gnutls_global_deinit)
ABSENT(gnutls_global_init)
ABSENT(gnutls_handshake)
ABSENT(gnutls_init)
ABSENT(gnutls_priority_deinit)
ABSENT(gnutls_priority_init)
ABSENT(gnutls_priority_set)
ABSENT(gnutls_protocol_get_version)
ABSENT(gnutls_psk_allocate_server_credentials)
ABSENT(gnutls_psk_free_server_credentials)
ABSENT(gnutls_psk_set_server_credentials_function)
ABSENT(gnutls_record_check_pending)
ABSENT(gnutls_record_get_direction)
ABSENT(gnutls_record_recv)
ABSENT(gnutls_record_send)
ABSENT(gnutls_session_set_ptr)
ABSENT(gnutls_transport_set_int2)

const char* gnutls_strerror(int error);
const char* gnutls_strerror(int error) {
    (void)error;
    return "built without TLS";
}

void* gnutls_session_get_ptr(void* session);
void* gnutls_session_get_ptr(void* session) {
    (void)session;
    return NULL;
}

extern void* (*gnutls_malloc)(size_t);
void* (*gnutls_malloc)(size_t) = NULL;
