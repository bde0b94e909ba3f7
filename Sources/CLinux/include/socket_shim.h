// Thin shims for Swift: TCP sockets. Addresses cross as 4 or 16 bytes in network order, because the fields of sockaddr
// are unions and macros; options whose level and name Swift imports under different types have a call each. All return
// -1 and errno on failure, as the call beneath does.
#ifndef NETLOOM_SOCKET_SHIM_H
#define NETLOOM_SOCKET_SHIM_H

#include <stdint.h>
#include <sys/socket.h>

// Fills *out from 4 or 16 bytes; `scope` is the interface index of a link-local address. 0 for another count.
socklen_t nl_address(struct sockaddr_storage *out, const uint8_t *bytes, int count, uint16_t port, uint32_t scope);
// The reverse: 4 or 16 (an IPv4-mapped address is 4), 0 for another family.
int nl_address_parts(const struct sockaddr_storage *in, uint8_t bytes[16], uint16_t *port, uint32_t *scope);

// A non-blocking, close-on-exec TCP socket for addresses of 4 or 16 bytes (the latter for IPv6 alone).
int nl_tcp_socket(int address_bytes);
// accept4(2), non-blocking and close-on-exec; *from is filled.
int nl_tcp_accept(int listener, struct sockaddr_storage *from);
int nl_tcp_local(int fd, struct sockaddr_storage *out);
int nl_tcp_remote(int fd, struct sockaddr_storage *out);
// The pending error of a socket (SO_ERROR), 0 when it is connected.
int nl_tcp_error(int fd);
// 4 or 16: what a listener takes; 0 unknown.
int nl_tcp_family(int fd);

int nl_tcp_nodelay(int fd);
int nl_tcp_reuse_address(int fd);
// Bind chooses no port yet, so that the 4-tuple and not the port has to be free (IP_BIND_ADDRESS_NO_PORT).
int nl_tcp_bind_without_port(int fd);
// TTL or hop limit of what is sent, and the least that is taken (IP_MINTTL, IPV6_MINHOPCOUNT; RFC 5082).
int nl_tcp_ttl(int fd, int address_bytes, int ttl);
int nl_tcp_min_ttl(int fd, int address_bytes, int ttl);
// RFC 2385: the key (at most 80 bytes; 0 takes it away) for segments to and from this address.
int nl_tcp_md5(int fd, const struct sockaddr_storage *peer, const void *key, int length);
// The name of the interface that has the address, into at least IFNAMSIZ bytes; 0, or -1 when there is none.
int nl_interface_of(const uint8_t *bytes, int count, char *name);
// The first global address of `wanted` bytes (4 or 16) on the interface that has the address of `count` bytes:
// `wanted`, or 0 when there is none.
int nl_neighbor_address(const uint8_t *bytes, int count, int wanted, uint8_t *out);
// The close(2) to come is by reset: nothing that is queued is sent.
int nl_tcp_reset_on_close(int fd);
// Closes by reset: nothing that is queued is sent.
int nl_tcp_abort(int fd);

#endif
