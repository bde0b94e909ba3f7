// The system's OpenSSL 3 (libssl, libcrypto), and as functions what its headers say in macros, variadic calls and typed
// stacks that Swift cannot import. The TLS module imports this, and
// Delivery for a digest.
#ifndef NETLOOM_COPENSSL_H
#define NETLOOM_COPENSSL_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

// TLS 1.3 only, partial writes from buffers that may move, record buffers freed while idle, several records a read.
// 1, or 0 with OpenSSL's error queue filled.
int copenssl_context_defaults(SSL_CTX *context);
int copenssl_context_add_chain(SSL_CTX *context, X509 *certificate);
// Calls SSL_CTX_sess_set_new_cb's callback for every ticket, and keeps none itself.
void copenssl_context_client_sessions(SSL_CTX *context, int (*fresh)(SSL *, SSL_SESSION *));
// Keeps sessions here, `most` at once; what clients get are their names (stateful tickets). The callback returns 0.
void copenssl_context_server_sessions(SSL_CTX *context, long most, int (*fresh)(SSL *, SSL_SESSION *));
int copenssl_set_server_name(SSL *ssl, const char *name);

// Gives the connection a transport over a socket that the caller keeps: recv and send with MSG_NOSIGNAL, so that a peer
// that is gone costs no SIGPIPE. 1 or 0.
int copenssl_set_socket(SSL *ssl, int socket);
// The errno of the transport's last failure; 0 when there was none.
int copenssl_socket_error(const SSL *ssl);

// A new P-256 key, NULL on failure.
EVP_PKEY *copenssl_generate_p256(void);
// Adds an extension in the words of x509v3_config(5); `issuer` signs `certificate` (both may be the same). 1 or 0.
int copenssl_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value);
// What a memory BIO holds.
size_t copenssl_memory(BIO *bio, const uint8_t **bytes);

// Copies the certificate's URI subject alternative name, NUL-terminated. Returns how many URI names it has; `out` is
// empty unless it is one, fits, and holds no NUL. -1: the extension cannot be read.
int copenssl_uri_name(const X509 *certificate, char *out, size_t room);
// Seconds since 1970, or INT64_MIN when the time cannot be read.
int64_t copenssl_seconds(const ASN1_TIME *time);

#endif
