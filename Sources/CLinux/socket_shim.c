#include "CLinux.h"

#include <ifaddrs.h>
#include <stdio.h>

socklen_t nl_address(struct sockaddr_storage *out, const uint8_t *bytes, int count, uint16_t port, uint32_t scope) {
  memset(out, 0, sizeof *out);
  if (count == 4) {
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    memcpy(&in->sin_addr, bytes, 4);
    return sizeof *in;
  }
  if (count == 16) {
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    in6->sin6_scope_id = scope;
    memcpy(&in6->sin6_addr, bytes, 16);
    return sizeof *in6;
  }
  return 0;
}

int nl_address_parts(const struct sockaddr_storage *in, uint8_t bytes[16], uint16_t *port, uint32_t *scope) {
  *scope = 0;
  if (in->ss_family == AF_INET) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;
    memcpy(bytes, &v4->sin_addr, 4);
    *port = ntohs(v4->sin_port);
    return 4;
  }
  if (in->ss_family == AF_INET6) {
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
    *port = ntohs(v6->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
      memcpy(bytes, v6->sin6_addr.s6_addr + 12, 4);
      return 4;
    }
    memcpy(bytes, &v6->sin6_addr, 16);
    *scope = v6->sin6_scope_id;
    return 16;
  }
  return 0;
}

int nl_tcp_socket(int address_bytes) {
  int fd = socket(address_bytes == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int one = 1;
  if (fd >= 0 && address_bytes == 16) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  return fd;
}

int nl_tcp_accept(int listener, struct sockaddr_storage *from) {
  socklen_t length = sizeof *from;
  return accept4(listener, (struct sockaddr *)from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int nl_tcp_local(int fd, struct sockaddr_storage *out) {
  socklen_t length = sizeof *out;
  return getsockname(fd, (struct sockaddr *)out, &length);
}

int nl_tcp_remote(int fd, struct sockaddr_storage *out) {
  socklen_t length = sizeof *out;
  return getpeername(fd, (struct sockaddr *)out, &length);
}

int nl_tcp_error(int fd) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0) return errno;
  return error;
}

int nl_tcp_family(int fd) {
  int domain = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) < 0) return -1;
  return domain == AF_INET ? 4 : domain == AF_INET6 ? 16 : 0;
}

int nl_tcp_nodelay(int fd) {
  int one = 1;
  return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int nl_tcp_reuse_address(int fd) {
  int one = 1;
  return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
}

int nl_tcp_bind_without_port(int fd) {
  int one = 1;
  return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
}

int nl_tcp_ttl(int fd, int address_bytes, int ttl) {
  return address_bytes == 4 ? setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl)
                            : setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof ttl);
}

int nl_tcp_min_ttl(int fd, int address_bytes, int ttl) {
  return address_bytes == 4 ? setsockopt(fd, IPPROTO_IP, IP_MINTTL, &ttl, sizeof ttl)
                            : setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &ttl, sizeof ttl);
}

int nl_tcp_md5(int fd, const struct sockaddr_storage *peer, const void *key, int length) {
  struct tcp_md5sig sig;
  memset(&sig, 0, sizeof sig);
  if (length < 0 || length > TCP_MD5SIG_MAXKEYLEN) {
    errno = EINVAL;
    return -1;
  }
  memcpy(&sig.tcpm_addr, peer, sizeof sig.tcpm_addr);
  sig.tcpm_keylen = (uint16_t)length;
  if (length > 0) memcpy(sig.tcpm_key, key, (size_t)length);
  return setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &sig, sizeof sig);
}

static int interface_address(const struct ifaddrs *entry, uint8_t bytes[16]) {
  uint16_t port;
  uint32_t scope;
  struct sockaddr_storage storage;
  if (!entry->ifa_addr) return 0;
  if (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6) return 0;
  memset(&storage, 0, sizeof storage);
  memcpy(&storage, entry->ifa_addr,
         entry->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
  return nl_address_parts(&storage, bytes, &port, &scope);
}

static const char *interface_with(const struct ifaddrs *list, const uint8_t *bytes, int count) {
  uint8_t found[16];
  for (; list; list = list->ifa_next)
    if (interface_address(list, found) == count && memcmp(found, bytes, (size_t)count) == 0) return list->ifa_name;
  return NULL;
}

int nl_interface_of(const uint8_t *bytes, int count, char *name) {
  struct ifaddrs *list;
  if (getifaddrs(&list) < 0) return -1;
  const char *found = interface_with(list, bytes, count);
  if (found) snprintf(name, IFNAMSIZ, "%s", found);
  freeifaddrs(list);
  return found ? 0 : -1;
}

int nl_neighbor_address(const uint8_t *bytes, int count, int wanted, uint8_t *out) {
  struct ifaddrs *list, *entry;
  uint8_t found[16];
  int result = 0;
  if (getifaddrs(&list) < 0) return 0;
  const char *name = interface_with(list, bytes, count);
  for (entry = list; name && entry && !result; entry = entry->ifa_next) {
    if (strcmp(entry->ifa_name, name) != 0 || interface_address(entry, found) != wanted) continue;
    if (wanted == 16 && found[0] == 0xfe && (found[1] & 0xc0) == 0x80) continue;  // link-local
    if (wanted == 4 ? found[0] == 127 : IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)found)) continue;
    memcpy(out, found, (size_t)wanted);
    result = wanted;
  }
  freeifaddrs(list);
  return result;
}

int nl_tcp_reset_on_close(int fd) {
  struct linger now = {1, 0};
  return setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

int nl_tcp_abort(int fd) {
  nl_tcp_reset_on_close(fd);
  return close(fd);
}
