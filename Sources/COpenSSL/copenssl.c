#define _GNU_SOURCE
#include "copenssl.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

int copenssl_context_defaults(SSL_CTX *context) {
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, 4 * (16384 + 256));
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION);
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) && SSL_CTX_set_num_tickets(context, 1) &&
         // AES-128 with SHA-256 is the cheapest of the three and the one that every TLS 1.3 peer has (RFC 8446 9.1).
         SSL_CTX_set_ciphersuites(context,
                                  "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") &&
         // Short lists: what is offered is what RFC 8446 9.1 asks for, and X25519. The TLS 1.2 ciphers are never used.
         SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256") &&
         SSL_CTX_set1_groups_list(context, "X25519:P-256") &&
         SSL_CTX_set1_sigalgs_list(context, "ECDSA+SHA256:ECDSA+SHA384:RSA-PSS+SHA256:RSA+SHA256");
}

int copenssl_context_add_chain(SSL_CTX *context, X509 *certificate) {
  return (int)SSL_CTX_add1_chain_cert(context, certificate);
}

void copenssl_context_client_sessions(SSL_CTX *context, int (*fresh)(SSL *, SSL_SESSION *)) {
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, fresh);
}

void copenssl_context_server_sessions(SSL_CTX *context, long most, int (*fresh)(SSL *, SSL_SESSION *)) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_SERVER);
  SSL_CTX_sess_set_cache_size(context, most);
  SSL_CTX_sess_set_new_cb(context, fresh);
}

int copenssl_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }

// The transport. Its state is this struct, freed with the BIO.
struct transport {
  int socket;
  int error;
  int end;
};

static int transport_create(BIO *bio) {
  struct transport *state = OPENSSL_zalloc(sizeof *state);
  if (!state) return 0;
  state->socket = -1;
  BIO_set_data(bio, state);
  return 1;
}

static int transport_destroy(BIO *bio) {
  if (!bio) return 0;
  OPENSSL_free(BIO_get_data(bio));
  BIO_set_data(bio, NULL);
  return 1;
}

static int transport_write(BIO *bio, const char *bytes, size_t count, size_t *written) {
  struct transport *state = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  ssize_t result;
  do result = send(state->socket, bytes, count, MSG_NOSIGNAL);
  while (result < 0 && errno == EINTR);
  if (result >= 0) {
    *written = (size_t)result;
    return 1;
  }
  *written = 0;
  if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_write(bio);
  else state->error = errno;
  return 0;
}

static int transport_read(BIO *bio, char *bytes, size_t room, size_t *count) {
  struct transport *state = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  ssize_t result;
  do result = recv(state->socket, bytes, room, 0);
  while (result < 0 && errno == EINTR);
  *count = result > 0 ? (size_t)result : 0;
  if (result > 0) return 1;
  if (result == 0) state->end = 1;
  else if (errno == EAGAIN || errno == EWOULDBLOCK) BIO_set_retry_read(bio);
  else state->error = errno;
  return 0;
}

static long transport_control(BIO *bio, int command, long number, void *pointer) {
  (void)number;
  (void)pointer;
  struct transport *state = BIO_get_data(bio);
  switch (command) {
  case BIO_CTRL_FLUSH: return 1;
  case BIO_CTRL_EOF: return state->end;
  default: return 0;
  }
}

static BIO_METHOD *transport_method;
static CRYPTO_ONCE transport_once = CRYPTO_ONCE_STATIC_INIT;

static void make_transport_method(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket without SIGPIPE");
  if (!method) return;
  if (BIO_meth_set_create(method, transport_create) && BIO_meth_set_destroy(method, transport_destroy) &&
      BIO_meth_set_write_ex(method, transport_write) && BIO_meth_set_read_ex(method, transport_read) &&
      BIO_meth_set_ctrl(method, transport_control))
    transport_method = method;
  else
    BIO_meth_free(method);
}

int copenssl_set_socket(SSL *ssl, int socket) {
  if (!CRYPTO_THREAD_run_once(&transport_once, make_transport_method) || !transport_method) return 0;
  BIO *bio = BIO_new(transport_method);
  if (!bio) return 0;
  ((struct transport *)BIO_get_data(bio))->socket = socket;
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  return 1;
}

int copenssl_socket_error(const SSL *ssl) {
  BIO *bio = SSL_get_rbio(ssl);
  return bio ? ((struct transport *)BIO_get_data(bio))->error : 0;
}

EVP_PKEY *copenssl_generate_p256(void) { return EVP_EC_gen("P-256"); }

int copenssl_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_nconf_nid(NULL, &context, nid, value);
  if (!extension) return 0;
  int result = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  return result;
}

size_t copenssl_memory(BIO *bio, const uint8_t **bytes) {
  char *start = NULL;
  long count = BIO_get_mem_data(bio, &start);
  *bytes = (const uint8_t *)start;
  return count > 0 ? (size_t)count : 0;
}

int copenssl_uri_name(const X509 *certificate, char *out, size_t room) {
  out[0] = 0;
  int critical = 0;
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
  if (!names) return critical == -1 ? 0 : -1;  // -1: there is no such extension
  int found = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    found += 1;
    const unsigned char *text = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
    size_t length = (size_t)ASN1_STRING_length(name->d.uniformResourceIdentifier);
    if (found > 1 || length >= room || memchr(text, 0, length)) {
      out[0] = 0;
      continue;
    }
    memcpy(out, text, length);
    out[length] = 0;
  }
  GENERAL_NAMES_free(names);
  return found;
}

int64_t copenssl_seconds(const ASN1_TIME *time) {
  struct tm parts;
  if (!time || !ASN1_TIME_to_tm(time, &parts)) return INT64_MIN;
  return (int64_t)timegm(&parts);
}
