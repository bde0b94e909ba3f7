// Thin shims for Swift: socket.
#ifndef NETLOOM_SOCKET_SHIM_H
#define NETLOOM_SOCKET_SHIM_H

#endif
